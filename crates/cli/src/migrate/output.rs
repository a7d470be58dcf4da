//! What is written: the configurations, Envoy's clusters, and the report.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use portcullis_gateway::config::Config;
use portcullis_redis_bridge::config;

use crate::migrate::environment::Process;
use crate::migrate::gateway::Gateway;
use crate::say::{complain, say};
use crate::terminal::plain;

/// Where configurations are written to.
pub(crate) enum Target<'a> {
    /// A folder, and whether files that are there are replaced.
    Folder(&'a Path, bool),
    Stdout,
}

/// Writes the configurations of gateways, and the report after its lines. Returns whether a
/// configuration has a problem, which the report then names.
///
/// # Errors
/// The file that cannot be written, and why; those after it are not written either.
pub(crate) fn write(gateways: &[Gateway], lines: &[String], target: &Target<'_>) -> Result<bool, String> {
    let files: Vec<(PathBuf, String)> =
        gateways.iter().flat_map(|gateway| files(gateway, gateways.len() > 1)).collect();
    let mut report: Vec<String> = lines.to_vec();
    let mut has_problems = false;
    for gateway in gateways {
        let problems = problems(gateway, gateways.len() > 1);
        has_problems |= !problems.is_empty();
        report.extend(problems);
        report.extend(needs(gateway));
    }
    match target {
        Target::Folder(folder, force) => {
            in_folder(&files, folder, *force)?;
            report.extend(files.iter().map(|(file, _)| format!("wrote {}", folder.join(file).display())));
            if files.is_empty() {
                report.push("nothing to write".to_owned());
            }
            let mut to = io::stdout().lock();
            report.iter().for_each(|line| say(&mut to, &plain(line)));
        }
        Target::Stdout => {
            let mut to = io::stdout().lock();
            for (file, content) in &files {
                // JSON is YAML, so that this is one file of several documents.
                say(&mut to, &format!("---\n# {}", file.display()));
                let _ = to.write_all(content.as_bytes());
            }
            report.iter().for_each(|line| complain(&plain(line)));
        }
    }
    Ok(has_problems)
}

/// A gateway's files.
fn files(gateway: &Gateway, is_one_of_several: bool) -> Vec<(PathBuf, String)> {
    let folder = folder(gateway, is_one_of_several);
    let mut files = vec![(folder.join(PLUGIN), gateway.plugin.to_json())];
    files.extend(gateway.bridge.iter().map(|bridge| (folder.join(BRIDGE), bridge.clone())));
    if gateway.bridge.is_some() || !gateway.clusters.is_empty() {
        files.push((folder.join(CLUSTERS), gateway.clusters.to_yaml(gateway.bridge.is_some())));
    }
    files
}

fn folder(gateway: &Gateway, is_one_of_several: bool) -> PathBuf {
    if is_one_of_several { PathBuf::from(&gateway.name) } else { PathBuf::new() }
}

/// What the filter and the bridge would refuse.
fn problems(gateway: &Gateway, is_one_of_several: bool) -> Vec<String> {
    let folder = folder(gateway, is_one_of_several);
    let plugin = Config::check(gateway.plugin.to_json().as_bytes(), None);
    let plugin = plugin.iter().map(|problem| (PLUGIN, problem.path().to_owned(), problem.what().to_owned()));
    let bridge = gateway.bridge.as_ref().map_or_else(Vec::new, |bridge| config::check(bridge, None));
    let bridge = bridge.into_iter().map(|problem| (BRIDGE, problem.path, problem.what));
    let written = |(file, path, what): (&str, String, String)| {
        format!("{}: {path}: to be mended: {what}", folder.join(file).display())
    };
    plugin.chain(bridge).map(written).collect()
}

/// Lists the variables and clusters that a gateway needs.
fn needs(gateway: &Gateway) -> Vec<String> {
    let parts = [
        ("variables of Envoy, to be named in `host_env_keys`, too", gateway.environment.listed(Process::Envoy)),
        ("variables of redis-bridge", gateway.environment.listed(Process::Bridge)),
        ("clusters of Envoy", gateway.clusters.listed()),
    ];
    let parts = parts.into_iter().filter(|(_, entries)| !entries.is_empty());
    let of_part = |(title, entries): (&str, Vec<String>)| {
        let entries = entries.into_iter().map(|entry| format!("  {entry}"));
        std::iter::once(format!("{}: {title}:", gateway.name)).chain(entries).collect::<Vec<_>>()
    };
    parts.flat_map(of_part).collect()
}

/// Writes files, all or none that is not there already.
fn in_folder(files: &[(PathBuf, String)], folder: &Path, force: bool) -> Result<(), String> {
    let failed = |file: &Path, error: &io::Error| format!("{}: {error}", plain(&file.display().to_string()));
    let paths: Vec<PathBuf> = files.iter().map(|(file, _)| folder.join(file)).collect();
    if let Some(there) = paths.iter().find(|path| !force && fs::symlink_metadata(path).is_ok()) {
        return Err(format!("{}: is there already; `--force` replaces it", plain(&there.display().to_string())));
    }
    for (path, (_, content)) in paths.iter().zip(files) {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).create_new(!force);
        let written = options.open(path).and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(|error| failed(path, &error))?;
    }
    Ok(())
}

const PLUGIN: &str = "portcullis.json";
const BRIDGE: &str = "bridge.yaml";
const CLUSTERS: &str = "clusters.yaml";
