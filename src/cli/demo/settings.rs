//! The demo's configuration, as a user would write it.

use std::fmt::Write;
use std::path::Path;

use super::models::LADDER;

/// The route that the puzzles are sent to.
pub const ROUTE: &str = "auto";

/// A configuration file for these simulated models behind `base_url`, on free ports of the loopback.
pub fn toml(base_url: &str, data_dir: &Path, quality: f64) -> String {
    let data_dir = toml::Value::from(data_dir.to_string_lossy().as_ref());
    let names: Vec<String> = LADDER.iter().map(|m| format!("{:?}", m.name)).collect();
    let mut file = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = {data_dir}\n\n\
         [[providers]]\nname = \"simulated\"\nkind = \"openai\"\nbase_url = \"{base_url}\"\n"
    );
    for model in &LADDER {
        // Writing to a string cannot fail.
        let _ = write!(
            file,
            "\n[[models]]\nname = \"{}\"\nprovider = \"simulated\"\ninput_usd_per_mtok = {}\n\
             output_usd_per_mtok = {}\ncontext_window = 128000\n",
            model.name, model.price.input, model.price.output
        );
    }
    let _ = write!(file, "\n[[routes]]\nname = \"{ROUTE}\"\nmodels = [{}]\nquality = {quality}\n", names.join(", "));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_toml_whatever_the_folder_is_called() {
        let file = toml("http://127.0.0.1:1/v1", Path::new("C:\\a \"b\"\n"), 0.9);
        let parsed: toml::Table = file.parse().unwrap();
        assert_eq!(parsed["server"]["data_dir"].as_str(), Some("C:\\a \"b\"\n"));
        assert_eq!(parsed["models"].as_array().map(Vec::len), Some(LADDER.len()));
        assert_eq!(parsed["routes"][0]["quality"].as_float(), Some(0.9));
    }
}
