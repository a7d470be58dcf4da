//! A secret's value is in no output.

use std::fs;

use crate::{EMBEDDED, EXTERNAL, migrated, migrated_in, seeds_folder};

#[test]
fn no_value_of_a_secret_in_the_seeds_is_written() {
    let mut values = 0;
    for file in fs::read_dir(seeds_folder()).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let done = migrated_in(&seeds_folder(), &[name]);
        let everything = format!("{}{}{}", done.out, done.err, written(&done));
        for value in secret_values(&text) {
            assert!(!everything.contains(&value), "{name}: {value}");
            values += 1;
        }
    }
    assert!(values >= 8, "{values} values were looked for");
}

#[test]
fn no_value_of_a_secret_is_written_whatever_refers_to_it() {
    let secrets = "---\napiVersion: v1\nkind: Secret\nmetadata: { name: okta, namespace: tools }\ndata: { secret: aHVudGVyMg== }\n\
                   stringData: { first: hunter2 }\n---\napiVersion: v1\nkind: Secret\nmetadata: { name: keys, namespace: tools \
                   }\nstringData: { first: hunter2, hmac: hunter2 }\n";
    let done = migrated(&format!("{EMBEDDED}{secrets}"));
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    // In plaintext where a reference belongs, and in fields that are not known.
    let plain = EXTERNAL.replace(
        "audience: weather }",
        "audience: weather, introspectionUrl: https://idp.example.com/i, clientId: c, clientSecret: hunter2, password: hunter2 }",
    );
    let plain = migrated(&plain.replace("  image: weather\n", "  env: [{ name: A, value: hunter2 }]\n"));
    assert_eq!(plain.code, 1, "{}{}", plain.out, plain.err);
    plain.assert_says(
        "spec.oidcConfig.inline.clientSecret: not carried over: is a secret in the file, and is not copied",
    );
    for done in [done, plain] {
        let everything = format!("{}{}{}", done.out, done.err, written(&done));
        assert!(!everything.contains("hunter2") && !everything.contains("aHVudGVyMg"), "{everything}");
    }
}

/// All files of a migration.
fn written(done: &crate::Done) -> String {
    ["portcullis.json", "bridge.yaml", "clusters.yaml"].iter().filter_map(|name| done.file(name)).collect()
}

/// The lines of the values in a file's Secrets.
fn secret_values(text: &str) -> Vec<String> {
    let secrets = text.split("\n---\n").filter(|document| document.contains("\nkind: Secret\n"));
    let data = secrets.filter_map(|secret| secret.split_once("\nstringData:\n"));
    let lines = data.flat_map(|(_, data)| data.lines().collect::<Vec<_>>());
    lines
        .map(|line| line.split_once(": ").map_or(line, |(_, value)| value).trim_matches([' ', '\'']))
        .filter(|value| value.len() > 2)
        .map(str::to_owned)
        .collect()
}
