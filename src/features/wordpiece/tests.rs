//! The tokenizer beside the reference.

use proptest::prelude::*;
use tokenizers::models::wordpiece::WordPiece as Reference;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{Tokenizer, TokenizerBuilder};

use super::*;

const VOCAB: &str = include_str!("../../../models/default/vocab.txt");

fn ids(text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    shipped().encode(text, &mut ids);
    ids
}

fn shipped() -> &'static WordPiece {
    static SHIPPED: std::sync::LazyLock<WordPiece> =
        std::sync::LazyLock::new(|| WordPiece::parse(VOCAB).expect("the shipped vocabulary"));
    &SHIPPED
}

fn reference() -> &'static Tokenizer {
    static REFERENCE: std::sync::LazyLock<Tokenizer> = std::sync::LazyLock::new(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default/vocab.txt");
        let model = Reference::from_file(path).unk_token(UNKNOWN.into()).build().expect("vocabulary");
        TokenizerBuilder::<
            _,
            _,
            _,
            tokenizers::processors::bert::BertProcessing,
            tokenizers::decoders::wordpiece::WordPiece,
        >::new()
        .with_model(model)
        .with_normalizer(Some(BertNormalizer::default()))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .build()
        .expect("complete")
        .into()
    });
    &REFERENCE
}

fn assert_same(text: &str) {
    let expected = reference().encode(text, false).expect("the reference encodes any text");
    assert_eq!(ids(text), expected.get_ids(), "{text:?}");
}

#[test]
fn agrees_with_the_reference_on_chosen_texts() {
    for text in [
        "",
        "Hello, world! unaffable tokenization",
        "naïve café ÀÉÎÕÜ Ångström e\u{301}",
        "中文字符 mixed with English，标点。",
        "日本語のテキスト ひらがな カタカナ",
        "한국어 텍스트",
        "Ελληνικά ΣΊΣΥΦΟΣ Русский İstanbul ǅ",
        "emoji 😀👨‍👩‍👧 and \u{200d}joiners\u{ad}",
        "tabs\tnew\nlines\r\n\u{b}vertical\u{c}feed\u{0}nul\u{7f}del\u{85}nel\u{a0}nbsp\u{3000}wide",
        "a ≠ b, ≤ ∑ ½ \u{37e} \u{1fef} ﬁne ！（）",
        "x^2 + \\frac{1}{2} = `code`; ## ###",
        "क्षत्रिय বাংলা ไทย العربية עברית",
        "\u{FFFD}\u{E000}\u{F900}\u{2F800}",
    ] {
        assert_same(text);
    }
}

/// Every fifth prompt of a recorded workload.
fn recorded(path: &std::path::Path) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        messages: Vec<crate::api::chat::Message>,
    }
    let file = flate2::read::MultiGzDecoder::new(std::fs::File::open(path).expect("readable"));
    let lines = std::io::BufRead::lines(std::io::BufReader::new(file)).step_by(5);
    let text = |line: std::io::Result<String>| {
        let line: Line = serde_json::from_str(&line.expect("text")).expect("a prompt");
        line.messages.into_iter().map(|message| message.content.text).collect()
    };
    lines.map(text).collect()
}

#[test]
fn agrees_with_the_reference_on_recorded_prompts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let Ok(entries) = std::fs::read_dir(folder) else {
        eprintln!("skipped: the recorded workloads are not there ({folder})");
        return;
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    for path in paths.filter(|path| path.to_string_lossy().ends_with(".jsonl.gz")) {
        recorded(&path).iter().for_each(|text| assert_same(text));
    }
}

#[test]
fn a_word_of_more_than_a_hundred_characters_is_unknown() {
    for n in [100, 101] {
        assert_same(&"a".repeat(n));
        assert_same(&"é".repeat(n));
    }
    assert_eq!(ids(&"b".repeat(101)), [shipped().unknown()]);
}

#[test]
fn text_never_becomes_a_special_token() {
    let special = ids("[SEP] [CLS] [UNK]");
    assert!(special.len() > 8 && !special.contains(&shipped().unknown()), "{special:?}");
}

#[test]
fn a_broken_vocabulary_names_its_line() {
    assert_eq!(WordPiece::parse("[UNK]\na\n\nb\n").err(), Some(VocabularyError::EmptyLine(3)));
    assert_eq!(WordPiece::parse("[UNK]\na\na\n").err(), Some(VocabularyError::Repeated(3)));
    assert_eq!(WordPiece::parse("a\nb\n").err(), Some(VocabularyError::NoUnknown));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Unicode 8's tables (the reference's) and today's differ on characters that came later, so: Latin, Greek,
    /// Cyrillic, Hebrew, Arabic, Indic, Hangul, kana, CJK and general punctuation as they long have been.
    #[test]
    fn agrees_with_the_reference_on_any_text(
        text in "[ -~\t\n\u{a0}-\u{17f}\u{300}-\u{36f}\u{386}-\u{3ce}\u{400}-\u{45f}\u{5d0}-\u{5ea}\u{621}-\u{64a}\u{905}-\u{939}\u{2010}-\u{2027}\u{2030}-\u{205e}\u{2200}-\u{22ff}\u{3041}-\u{3096}\u{30a1}-\u{30fa}\u{4e00}-\u{4eff}\u{ac00}-\u{acff}\u{ff01}-\u{ff5e}]{0,60}"
    ) {
        prop_assume!(!text.contains("[UNK]"));
        assert_same(&text);
    }
}
