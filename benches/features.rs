//! What assessing a request costs: features alone, and features with the network.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use satisfice::api::chat::ChatRequest;
use satisfice::difficulty::Bundle;

const PARAGRAPH: &str = "A train leaves Springfield at 9:40 and travels 312.5 km at an average speed of 75 km/h, \
    stopping twice for 12 minutes. A second train departs forty minutes later on a parallel track; its velocity is \
    1.25 times higher, but it has to wait wherever maintenance (announced as \"scheduled\") blocks a segment. \
    Determine when, and at what distance from the origin, the second train overtakes the first one, assuming \
    that neither exceeds $v_{max} = 110$ km/h. Explain your reasoning step by step.\n";

fn request(tokens: usize, bundle: &Bundle) -> ChatRequest {
    let mut text = String::new();
    let mut ids = Vec::new();
    while ids.len() < tokens {
        let (piece, rest) = PARAGRAPH.split_at(PARAGRAPH.len() / 4 * 4);
        let words: Vec<&str> = piece.split_inclusive(' ').chain([rest]).collect();
        let missing = tokens - ids.len();
        let piece: String = words.into_iter().take(missing).collect();
        bundle.extractor.vocabulary().encode(&piece, &mut ids);
        text.push_str(&piece);
    }
    let body = serde_json::json!({"model": "auto", "messages": [{"role": "user", "content": text}]});
    ChatRequest::parse(&Bytes::from(body.to_string())).expect("a valid request")
}

fn assess(criterion: &mut Criterion) {
    let bundle = Bundle::embedded().expect("the shipped bundle");
    for tokens in [128, 8_000] {
        let request = request(tokens, &bundle);
        criterion.bench_function(&format!("extract, {tokens} tokens"), |bencher| {
            bencher.iter(|| bundle.extractor.extract(black_box(&request)));
        });
        criterion.bench_function(&format!("extract and assess, {tokens} tokens"), |bencher| {
            bencher.iter(|| bundle.assess(bundle.extractor.draft(black_box(&request))));
        });
    }
    criterion.bench_function("load the embedded bundle", |bencher| bencher.iter(Bundle::embedded));
}

criterion_group!(benches, assess);
criterion_main!(benches);
