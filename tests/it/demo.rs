//! The demo from beginning to end, in this process.

use satisfice::catalog::Price;
use satisfice::cli::demo::Options;
use satisfice::cli::demo::live::Live;
use satisfice::cli::demo::report::Report;
use satisfice::cli::demo::run::Demo;
use satisfice::policy::{ArmSpec, Knob, RouteSpec};
use satisfice::store::{Entry, RedbStore, Retention, Store};
use tempfile::TempDir;

const REQUESTS: u32 = 60;

fn options() -> Options {
    Options {
        requests: REQUESTS,
        quality: 0.95,
        seed: 7,
        data_dir: None,
        keep_running: false,
        show_config: false,
        pace: 0.0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_puzzles_are_asked_scored_and_reported() {
    let demo = Demo::start(&options()).await.unwrap();
    let report = demo.play(&Live::Silent).await.unwrap();
    check(&report);
    let example = report.example.as_ref().unwrap();
    let trace = format!("{}/v1/traces/{}", demo.gateway_url(), example.trace_id);
    let shown = reqwest::get(trace).await.unwrap();
    assert_eq!(shown.status(), 200);
    let shown = String::from_utf8(shown.bytes().await.unwrap().to_vec()).unwrap();
    assert!(shown.contains(&example.trace_id) && shown.contains(example.model), "{shown}");
    let route = reqwest::get(format!("{}/v1/routes/auto", demo.gateway_url())).await.unwrap();
    let route: serde_json::Value = serde_json::from_slice(&route.bytes().await.unwrap()).unwrap();
    assert_eq!(route["decided"], REQUESTS);
    let usd = |field: &str| route[field].as_f64().unwrap();
    assert!(usd("spent_usd") > 0.0 && usd("always_best_usd") > 0.0, "{route}");
    assert!((usd("always_best_usd") - usd("spent_usd") - usd("saved_usd")).abs() < 1e-9, "{route}");
    let scored: u64 = route["models"].as_array().unwrap().iter().filter_map(|model| model["scored"].as_u64()).sum();
    assert!(scored > 0 && scored <= u64::from(REQUESTS), "{route}");
    demo.stop().await.unwrap();
}

/// Why a demo does not start in this folder.
async fn refused(folder: &TempDir) -> String {
    let options = Options { data_dir: Some(folder.path().to_owned()), ..options() };
    let started = Demo::start(&options).await;
    format!("{:#}", started.map(|_| ()).unwrap_err())
}

#[tokio::test]
async fn a_folder_of_another_gateway_is_refused_and_left_as_it_is() {
    let price = Some(Price::of(1.0, 2.0));
    for (route, model, foreign) in
        [("support", "swift", "the route \"support\""), ("auto", "gpt-4o", "the model \"gpt-4o\"")]
    {
        let folder = tempfile::tempdir().unwrap();
        let arms = vec![ArmSpec { arm: model.into(), price, context_window: None }];
        let spec = RouteSpec { name: route.into(), knob: Knob::Quality(0.9), explore: true, arms, segments: vec![] };
        let configured = Entry::Configured { at_ms: 1, fingerprint: "x".into(), routes: vec![spec] };
        RedbStore::open(folder.path(), Retention::default()).unwrap().append(&[configured]).unwrap();
        let said = refused(&folder).await;
        assert!(said.contains("is another gateway's") && said.contains(foreign), "{said}");
        assert!(said.contains("choose another folder, or leave --data-dir out"), "{said}");
        let mut entries = 0;
        let counted = RedbStore::open(folder.path(), Retention::default()).unwrap().replay(0, &mut |_, _| {
            entries += 1;
            Ok(())
        });
        counted.unwrap();
        assert_eq!(entries, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_goes_on_in_the_folder_of_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let options = Options { data_dir: Some(folder.path().join("kept")), requests: 2, ..options() };
        Demo::start(&options).await.unwrap().stop().await.unwrap();
    }
}

fn check(report: &Report) {
    assert_eq!(report.requests, REQUESTS as usize);
    assert!(report.bill.calls >= u64::from(REQUESTS), "{:?}", report.bill);
    let quality = report.satisfice.quality;
    assert!(0.2 < quality.mean && quality.low < quality.mean && quality.mean <= quality.high, "{quality:?}");
    let (cheapest, dearest) = (report.fixed[0].usd_per_1k, report.fixed[4].usd_per_1k);
    let usd = report.satisfice.usd_per_1k;
    assert!(cheapest * 0.9 < usd && usd < dearest * 1.1, "{usd} in {cheapest}–{dearest}");
    assert!((report.shares.0.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(report.to_string().contains("A simulation"));
}
