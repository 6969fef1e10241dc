//! Wrong arguments: one line that says what is wrong and where to look, on stderr, and exit code 2.

use std::io::{PipeWriter, pipe};
use std::net::TcpListener;
use std::process::{Command, Output};

fn satisfice(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_satisfice")).args(arguments.split_whitespace()).output().unwrap()
}

/// What is said on stderr; nothing is on stdout.
fn refused(arguments: &str) -> String {
    let Output { status, stdout, stderr } = satisfice(arguments);
    assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{arguments}");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn a_wrong_argument_is_told_on_one_line() {
    let told = |arguments: &str, what: &str| {
        let line = refused(arguments);
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        assert_eq!(line, format!("satisfice: {what}; --help says what there is\n"));
    };
    told("serv", "unrecognized subcommand 'serv'; tip: a similar subcommand exists: 'serve'");
    told("serve --quality 1.7", "invalid value '1.7' for '--quality <SHARE>': give a number from 0 to 1, such as 0.95");
    let usd = "give a positive number of USD, such as 0.66";
    let calibrate = "calibrate --prompts p.jsonl --route auto --max-usd";
    told(&format!("{calibrate} -1"), &format!("invalid value '-1' for '--max-usd <USD>': {usd}"));
    told(
        "train",
        "the following required arguments were not provided: --out <DIR> <--workload <FILE>...|--traces <FILE>...>",
    );
    let address = "give an IP address and a port, such as 127.0.0.1:8080";
    told("serve --listen localhost:80", &format!("invalid value 'localhost:80' for '--listen <ADDRESS>': {address}"));
    told("evaluate --svg", "a value is required for '--svg <DIR|FILE>' but none was supplied");
}

#[test]
fn help_is_no_mistake_and_no_command_is_answered_with_it() {
    let help = satisfice("--help");
    assert!(help.status.success() && help.stderr.is_empty());
    assert!(String::from_utf8(help.stdout).unwrap().contains("Usage: satisfice <COMMAND>"));
    assert!(refused("").contains("Usage: satisfice <COMMAND>"));
}

#[test]
fn a_data_folder_that_is_a_file_is_one_mistake_wherever_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (file, config) = (folder.path().join("plain"), folder.path().join("c.toml"));
    std::fs::write(&file, "text").unwrap();
    std::fs::write(
        &config,
        "[[providers]]\nname = \"ollama\"\n[[models]]\nname = \"m\"\nprovider = \"ollama\"\n\
         input_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n",
    )
    .unwrap();
    let (file, config) = (file.display(), config.display());
    for command in
        [format!("demo --requests 1 --data-dir {file}"), format!("serve --config {config} --data-dir {file}")]
    {
        let said = refused(&command);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains(&format!("the data folder {file} is a file; choose another folder (--data-dir")),
            "{said}"
        );
    }
}

/// What nobody reads.
fn unread() -> PipeWriter {
    pipe().unwrap().1
}

#[test]
fn a_gateway_that_nobody_hears_says_by_its_code_why_it_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_satisfice"));
    command.args(["serve", "--listen", &taken.local_addr().unwrap().to_string(), "--admin-listen", "127.0.0.1:0"]);
    let folder = tempfile::tempdir().unwrap();
    let command = command.current_dir(folder.path()).env_clear().env("OPENAI_API_KEY", "sk-none");
    let said = command.stdout(unread()).output().unwrap();
    let stderr = String::from_utf8(said.stderr).unwrap();
    assert!(said.status.code() == Some(2) && stderr.contains("cannot listen on"), "{stderr}");
    let status = command.stdout(unread()).stderr(unread()).status().unwrap();
    assert_eq!(status.code(), Some(2), "its log is not heard either");
}

#[test]
fn a_report_whose_reader_left_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    std::fs::write(&config, "[[providers]]\nname = \"ollama\"\n[[models]]\nname = \"m\"\nprovider = \"ollama\"\n")
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_satisfice"));
    let said = command.arg("check").arg("--config").arg(config).stdout(unread()).output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
}
