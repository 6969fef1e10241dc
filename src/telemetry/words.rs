//! What can become of things, in the words that metrics print.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// An enum of which each value is one word.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $value:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of])* $value,)*
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
                encoder.write_str(match self {
                    $(Self::$value => $word,)*
                })
            }
        }
    };
}

words! {
    /// What became of asking the best model for comparison.
    Shadowed {
        Answered = "answered",
        Failed = "failed",
        /// There was no room, and it was not asked.
        Dropped = "dropped",
    }
}

words! {
    /// What became of putting an answer before a judge.
    Judged {
        Graded = "graded",
        /// The question could not be put, or its answer holds no grade.
        Unreadable = "unreadable",
        /// The judge did not answer.
        Failed = "failed",
        /// There was no room, and it was not asked.
        Dropped = "dropped",
        /// The client keeps its words from the judge's provider, which was not asked.
        Withheld = "withheld",
        /// It is none that a judge reads: cut, a call, or to a request with more than text; nobody was asked.
        LeftOut = "left_out",
    }
}

words! {
    /// What became of a score that came.
    Received {
        Accepted = "accepted",
        Refused = "refused",
    }
}

words! {
    /// What the learner hears of from the request path.
    Told {
        Decided = "decided",
        Finished = "finished",
        /// What was asked and answered, of a request whose end it hears of.
        Body = "body",
    }
}
