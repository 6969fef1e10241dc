//! What a Claude model accepts, told by the version in its name.

/// A model, as far as its name tells. A later Claude than any known is taken for the newest kind there is; a model that
/// is no Claude, which other vendors offer behind this wire, for one of the time when they copied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claude {
    /// `None`: a Claude without a number.
    version: Option<(u8, u8)>,
    always_thinks: bool,
    opus: bool,
}

/// How a model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// It cannot.
    Never,
    /// With a number of tokens: `{"type": "enabled", "budget_tokens": …}`.
    Budget,
    /// As much as it finds right, and an effort: `{"type": "adaptive"}`.
    Adaptive,
    /// The same, and it cannot be told not to.
    Always,
}

impl Claude {
    /// Of a name such as `claude-opus-4-6-20260205`, `claude-3-5-haiku@20241022` or
    /// `us.anthropic.claude-sonnet-5-v1:0`.
    pub fn named(name: &str) -> Self {
        let Some((_, rest)) = name.split_once("claude") else {
            return Self { version: Some((4, 0)), always_thinks: false, opus: false };
        };
        let words = rest.split(|c: char| !c.is_ascii_alphanumeric());
        let numbers = words.skip_while(|word| word.parse::<u8>().is_err()).map_while(|word| word.parse().ok());
        let mut numbers = numbers.take(2);
        let version = numbers.next().map(|major| (major, numbers.next().unwrap_or(0)));
        let always_thinks = rest.contains("fable") || rest.contains("mythos");
        Self { version, always_thinks, opus: rest.contains("opus") }
    }

    /// Whether temperature and its like mean anything to it (Anthropic's migration guide for Opus 4.7: they are
    /// refused from there on).
    pub fn samples(self) -> bool {
        !self.since(4, 7)
    }

    /// Whether temperature and `top_p` may be given together.
    pub fn samples_both(self) -> bool {
        !self.since(4, 1)
    }

    /// Whether it has `output_config.format` and strict tools (Anthropic's page on structured outputs).
    pub fn structured(self) -> bool {
        self.since(4, 5)
    }

    /// Whether it has `output_config.effort`: Opus was the first.
    pub fn effort(self) -> bool {
        self.since(4, 6) || (self.opus && self.since(4, 5))
    }

    /// Whether its effort may be `xhigh`.
    pub fn xhigh(self) -> bool {
        self.since(4, 7)
    }

    /// How it thinks.
    pub fn thinking(self) -> Thinking {
        match () {
            () if self.always_thinks => Thinking::Always,
            () if self.since(4, 6) => Thinking::Adaptive,
            () if self.since(3, 7) => Thinking::Budget,
            () => Thinking::Never,
        }
    }

    fn since(self, major: u8, minor: u8) -> bool {
        self.version.is_none_or(|version| version >= (major, minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_wherever_it_stands() {
        for (name, version) in [
            ("claude-opus-4-6-20260205", Some((4, 6))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("claude-3-5-haiku@20241022", Some((3, 5))),
            ("claude-3-haiku-20240307", Some((3, 0))),
            ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", Some((3, 7))),
            ("anthropic/claude-sonnet-5.5", Some((5, 5))),
            ("claude-opus-5-5-fast", Some((5, 5))),
            ("claude-mythos-preview", None),
            ("kimi-k2", Some((4, 0))),
        ] {
            assert_eq!(Claude::named(name).version, version, "{name}");
        }
    }

    #[test]
    fn a_model_takes_what_its_documentation_says() {
        for (name, samples, structured, thinking) in [
            ("claude-3-5-sonnet-20241022", true, false, Thinking::Never),
            ("claude-sonnet-4-20250514", true, false, Thinking::Budget),
            ("claude-haiku-4-5", true, true, Thinking::Budget),
            ("claude-sonnet-4-6", true, true, Thinking::Adaptive),
            ("claude-opus-4-7", false, true, Thinking::Adaptive),
            ("claude-haiku-5-5", false, true, Thinking::Adaptive),
            ("claude-fable-5", false, true, Thinking::Always),
            ("claude-mythos-preview", false, true, Thinking::Always),
        ] {
            let claude = Claude::named(name);
            assert_eq!((claude.samples(), claude.structured(), claude.thinking()), (samples, structured, thinking));
        }
    }
}
