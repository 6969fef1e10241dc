//! What the gateway costs beside a bare axum/reqwest pass-through, in one run: CPU µs a request (from `/proc`), and
//! latency, in front of one instant upstream. `cargo bench --bench proxy`, and with the cache of answers on, for what is in
//! it and what is not: `cargo bench --bench proxy -- cache`
//!
//! From the environment: `ROUNDS` of `REQUESTS` each, `CONNECTIONS`, the `RATE` in requests a second in place of all that
//! go, and `PANEL=1` for a route that may ask two models first.
//!
//! Upstream, pass-through and gateway are processes of their own; this one makes the load.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::serve::ListenerExt;
use bytes::Bytes;

/// The learner writes down what it heard after a quarter of a second.
const SETTLE: Duration = Duration::from_millis(300);
const REPLY: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"The answer is 42, because six times seven is forty-two."},"finish_reason":"stop"}],"usage":{"prompt_tokens":110,"completion_tokens":14,"total_tokens":124}}"#;

fn main() -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mode = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match mode.as_str() {
        "--upstream" => runtime.block_on(upstream()),
        "--bare" => runtime.block_on(bare(std::env::args().nth(2).unwrap_or_default())),
        _ if cfg!(target_os = "linux") => runtime.block_on(compare(mode == "cache")),
        _ => {
            println!("skipped: CPU time is read from /proc, which this system has not");
            Ok(())
        }
    }
}

async fn serve(app: Router) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener.tap_io(|io| drop(io.set_nodelay(true))), app).await?)
}

/// Answers every request at once with the same reply.
async fn upstream() -> anyhow::Result<()> {
    let answer = || async { ([("content-type", "application/json")], REPLY) };
    serve(Router::new().route("/v1/chat/completions", post(answer))).await
}

/// The least that a proxy on the same crates does: take the body, post it, hand back what comes.
async fn bare(target: String) -> anyhow::Result<()> {
    let url: reqwest::Url = format!("http://{target}/v1/chat/completions").parse()?;
    async fn forward(State((client, url)): State<(reqwest::Client, reqwest::Url)>, body: Bytes) -> Response {
        match client.post(url).header("content-type", "application/json").body(body).send().await {
            Ok(reply) => Response::new(Body::from_stream(reply.bytes_stream())),
            Err(error) => Response::builder().status(502).body(Body::from(error.to_string())).unwrap_or_default(),
        }
    }
    serve(Router::new().route("/v1/chat/completions", post(forward)).with_state((client()?, url))).await
}

fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().tls_certs_only([]).tcp_nodelay(true).build()?)
}

/// How requests come.
#[derive(Clone, Copy)]
struct Load {
    /// Of one round.
    requests: usize,
    connections: usize,
    /// Requests a second; 0: each connection's next one once it has its answer.
    rate: usize,
}

/// Rounds alternate, and each compares what ran within one second: a machine that others use, too, slows down both. The
/// median of the rounds' ratios is the figure.
async fn compare(with_cache: bool) -> anyhow::Result<()> {
    let rounds = number("ROUNDS", 15);
    let (requests, connections) = (number("REQUESTS", 6_000), number("CONNECTIONS", 16));
    anyhow::ensure!(
        (1..=requests).contains(&connections),
        "CONNECTIONS is {connections}: give 1 to {requests}, the REQUESTS of a round"
    );
    let load = Load { requests, connections, rate: number("RATE", 0) };
    let me = std::env::current_exe()?;
    let upstream = Process::start(Command::new(&me).arg("--upstream"))?;
    let bare = Process::start(Command::new(&me).arg("--bare").arg(&upstream.address))?;
    let folder = tempfile::tempdir()?;
    let ours = gateway(&folder.path().join("plain"), &upstream.address, "")?;
    println!("{connections} connections, {rounds} rounds of {requests} requests each, prompt of about 128 tokens");
    let bare = Total::new("bare axum/reqwest", &bare, Prompts::New);
    let plain = Total::new("satisfice, everything on", &ours, Prompts::New);
    if !with_cache {
        let upstream = Total::new("upstream alone", &upstream, Prompts::New);
        return compared(vec![bare, upstream, plain], rounds, load).await;
    }
    let cached = gateway(&folder.path().join("cached"), &upstream.address, "[routes.cache]\n")?;
    let misses = Total::new("with the cache, all new", &cached, Prompts::New);
    let hits = Total::new("with the cache, all kept", &cached, Prompts::Kept);
    compared(vec![plain, bare, misses, hits], rounds, load).await
}

/// Prints what each costs, and how many times the first.
async fn compared(mut totals: Vec<Total<'_>>, rounds: usize, load: Load) -> anyhow::Result<()> {
    round(&mut totals, 0, load).await?;
    totals.iter_mut().for_each(Total::clear);
    for i in 1..=rounds {
        let cpu = round(&mut totals, i, load).await?;
        let figures: Vec<String> = cpu.iter().map(|us| format!("{us:.1} µs ({:.2})", us / cpu[0])).collect();
        println!("round {i:>2}: {}", figures.join(", "));
    }
    println!("{:<28}{:>12}{:>12}{:>10}{:>10}", "", "CPU µs/req", "req/s", "p50 ms", "p99 ms");
    totals.iter_mut().try_for_each(Total::print)?;
    for total in &totals[1..] {
        let ratios = total.cpu.iter().zip(&totals[0].cpu).map(|(cpu, first)| cpu / first).collect();
        println!("{} / {}: {:.2} (median of {rounds} rounds)", total.name, totals[0].name, median(ratios));
    }
    Ok(())
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Loads each process in turn, then waits until the gateway has written down what it heard; CPU µs a request of each.
async fn round(totals: &mut [Total<'_>], round: usize, load: Load) -> anyhow::Result<Vec<f64>> {
    for total in totals.iter_mut() {
        let before = total.process.cpu_us()?;
        let started = Instant::now();
        let latencies = load.onto(total, round).await?;
        total.seconds += started.elapsed().as_secs_f64();
        tokio::time::sleep(SETTLE).await;
        total.cpu.push((total.process.cpu_us()? - before) / latencies.len() as f64);
        total.latencies.extend(latencies);
    }
    Ok(totals.iter().filter_map(|total| total.cpu.last().copied()).collect())
}

/// What is asked.
#[derive(Clone, Copy, PartialEq)]
enum Prompts {
    /// Each once.
    New,
    /// One a connection, again and again.
    Kept,
}

/// What all rounds of one process gave.
struct Total<'a> {
    name: &'static str,
    process: &'a Process,
    prompts: Prompts,
    /// µs a request, round by round.
    cpu: Vec<f64>,
    latencies: Vec<Duration>,
    seconds: f64,
}

impl<'a> Total<'a> {
    fn new(name: &'static str, process: &'a Process, prompts: Prompts) -> Self {
        Self { name, process, prompts, cpu: Vec::new(), latencies: Vec::new(), seconds: 0.0 }
    }

    fn clear(&mut self) {
        *self = Self::new(self.name, self.process, self.prompts);
    }

    fn print(&mut self) -> anyhow::Result<()> {
        self.latencies.sort_unstable();
        let at = |share: f64| self.latencies[((self.latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let (cpu, rate) = (median(self.cpu.clone()), self.latencies.len() as f64 / self.seconds);
        let (name, memory) = (self.name, self.process.resident()? >> 20);
        println!("{name:<28}{cpu:>12.1}{rate:>12.0}{:>10.2}{:>10.2}   {memory} MB resident", at(0.5), at(0.99));
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// `more`: of its route.
fn gateway(folder: &std::path::Path, upstream: &str, more: &str) -> anyhow::Result<Process> {
    std::fs::create_dir(folder)?;
    let config = folder.join("satisfice.toml");
    std::fs::write(&config, configuration(upstream) + more)?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let admin = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_satisfice"));
    command.args(["serve", "--listen", &address, "--admin-listen", &admin, "--config"]).arg(&config);
    command.arg("--data-dir").arg(folder.join("data")).env("RUST_LOG", "warn").stdout(Stdio::null());
    let started = Instant::now();
    let process = Process { child: command.spawn()?, address };
    while std::net::TcpStream::connect(&process.address).is_err() {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(20), "the gateway did not start");
        std::thread::sleep(Duration::from_millis(2));
    }
    println!("started and listening after {} ms", started.elapsed().as_millis());
    Ok(process)
}

/// One provider, four models from cheap to dear, one route over them.
fn configuration(upstream: &str) -> String {
    let mut text =
        format!("[[providers]]\nname = \"instant\"\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n");
    for (name, price) in [("a", 0.1), ("b", 0.5), ("c", 2.0), ("d", 10.0)] {
        text += &format!("[[models]]\nname = \"{name}\"\nprovider = \"instant\"\n");
        text += &format!("input_usd_per_mtok = {price:?}\noutput_usd_per_mtok = {price:?}\n");
    }
    // Otherwise one call for each request, as the bare proxy makes: replies that are all the same have two models agree on
    // most.
    let panel = number("PANEL", 0) > 0;
    text + &format!("[[routes]]\nname = \"auto\"\nmodels = [\"a\", \"b\", \"c\", \"d\"]\npanel = {panel}\n")
}

/// A child that dies with us.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts a child that prints its address on its first line.
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut address)?;
        }
        Ok(Self { child, address: address.trim().to_owned() })
    }

    /// User and system time of all its threads so far, µs.
    fn cpu_us(&self) -> anyhow::Result<f64> {
        let mut nanos = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let times = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            nanos += times.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(nanos as f64 / 1e3)
    }

    /// Bytes.
    fn resident(&self) -> anyhow::Result<u64> {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        Ok(pages.split(' ').nth(1).unwrap_or_default().parse::<u64>()? * 4096)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Load {
    /// The latency of each request.
    async fn onto(self, total: &Total<'_>, round: usize) -> anyhow::Result<Vec<Duration>> {
        let url: reqwest::Url = format!("http://{}/v1/chat/completions", total.process.address).parse()?;
        let (prompts, requests) = (total.prompts, self.requests / self.connections);
        let lane = |i| tokio::spawn(lane(url.clone(), prompts, (round, i), requests, self.pace(i)));
        let tasks: Vec<_> = (0..self.connections).map(lane).collect();
        let mut all = Vec::with_capacity(self.requests);
        for task in tasks {
            all.extend(task.await??);
        }
        Ok(all)
    }

    /// When a connection's first request is due, and after which time each next one.
    fn pace(self, lane: usize) -> (Instant, Duration) {
        let apart = if self.rate > 0 { self.connections as f64 / self.rate as f64 } else { 0.0 };
        let first = Duration::from_secs_f64(apart * lane as f64 / self.connections as f64);
        (Instant::now() + first, Duration::from_secs_f64(apart))
    }
}

/// One connection's share of the load.
async fn lane(
    url: reqwest::Url,
    prompts: Prompts,
    (round, lane): (usize, usize),
    requests: usize,
    (first, apart): (Instant, Duration),
) -> anyhow::Result<Vec<Duration>> {
    let client = client()?;
    let story = "A train leaves at noon at 60 km/h; another follows an hour later. When do they meet? ".repeat(6);
    let mut latencies = Vec::with_capacity(requests);
    for i in 0..requests {
        if !apart.is_zero() {
            tokio::time::sleep_until((first + apart * i as u32).into()).await;
        }
        let number = if prompts == Prompts::New { format!("{round}.{lane}.{i}") } else { format!("{lane}") };
        let body =
            format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"Question {number}: {story}"}}]}}"#);
        let started = Instant::now();
        let reply = client.post(url.clone()).header("content-type", "application/json").body(body).send().await?;
        anyhow::ensure!(reply.status().is_success(), "HTTP {}", reply.status());
        // The first of its kind is asked for the others.
        let again = reply.headers().get("x-satisfice-cache").is_some();
        anyhow::ensure!(again == (prompts == Prompts::Kept) || (round, i) == (0, 0), "answered again: {again}");
        reply.bytes().await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}
