use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn read_one(folder: &TempDir, text: &str) -> Result<Vec<u8>, Why> {
    match read(folder.path(), &[name(text)]) {
        Ok(contents) => Ok(contents[0].value.as_bytes().to_vec()),
        Err(Trouble::Secret(named, why)) => {
            assert_eq!(named, name(text));
            Err(why)
        }
        Err(Trouble::Restless) => panic!("restless"),
    }
}

#[test]
fn one_line_end_is_taken_off_and_nothing_else() {
    for (written, meant) in [
        (b"hunter2".as_slice(), b"hunter2".as_slice()),
        (b"hunter2\n", b"hunter2"),
        (b"hunter2\n\n", b"hunter2\n"),
        (b"hunter2\r\n", b"hunter2\r"),
        (b" a b \n", b" a b "),
        (b"\xff\x00\n", b"\xff\x00"),
    ] {
        assert_eq!(read_one(&folder(&[("a", written)]), "a").unwrap(), meant);
    }
}

#[test]
fn an_empty_an_absent_and_a_large_file_are_not_served() {
    let full = vec![b'x'; SECRET_BYTES];
    let with_end = [full.as_slice(), b"\n"].concat();
    let over = vec![b'x'; SECRET_BYTES + 1];
    let over_with_end = [over.as_slice(), b"\n"].concat();
    let far_over = vec![b'x'; SECRET_BYTES * 8];
    let folder = folder(&[
        ("empty", b""),
        ("line-end", b"\n"),
        ("full", &full),
        ("with-end", &with_end),
        ("over", &over),
        ("over-with-end", &over_with_end),
        ("far-over", &far_over),
    ]);
    assert_eq!(read_one(&folder, "empty"), Err(Why::Empty));
    assert_eq!(read_one(&folder, "line-end"), Err(Why::Empty));
    assert_eq!(read_one(&folder, "absent"), Err(Why::Unreadable(io::ErrorKind::NotFound)));
    assert_eq!(read_one(&folder, "full").unwrap(), full);
    assert_eq!(read_one(&folder, "with-end").unwrap(), full);
    for name in ["over", "over-with-end", "far-over"] {
        assert_eq!(read_one(&folder, name), Err(Why::TooLarge), "{name}");
    }
}

#[test]
fn a_link_may_lead_within_the_folder_and_not_out_of_it() {
    let other = folder(&[("key", b"not yours")]);
    let folder = folder(&[("inside", b"ours")]);
    let at = |name: &str| folder.path().join(name);
    symlink("inside", at("to-inside")).unwrap();
    symlink(other.path().join("key"), at("absolute")).unwrap();
    symlink("/etc/hostname", at("system")).unwrap();
    let up = Path::new("..").join(other.path().file_name().unwrap()).join("key");
    symlink(up, at("up")).unwrap();
    symlink("to-inside", at("twice")).unwrap();
    symlink("absolute", at("twice-out")).unwrap();
    symlink("loop", at("loop")).unwrap();
    symlink(other.path(), at("sub")).unwrap();
    symlink("sub/key", at("through-sub")).unwrap();
    assert_eq!(read_one(&folder, "to-inside").unwrap(), b"ours");
    assert_eq!(read_one(&folder, "twice").unwrap(), b"ours");
    for name in ["absolute", "up", "twice-out", "through-sub", "sub"] {
        assert_eq!(read_one(&folder, name), Err(Why::Outside), "{name}");
    }
    assert!(read_one(&folder, "system").is_err());
    assert!(matches!(read_one(&folder, "loop"), Err(Why::Unreadable(_))));
}

/// A sibling whose name only begins like the folder's is not inside it.
#[test]
fn a_folder_of_a_longer_name_is_outside() {
    let parent = TempDir::new().unwrap();
    let (ours, longer) = (parent.path().join("secrets"), parent.path().join("secrets-of-others"));
    fs::create_dir(&ours).unwrap();
    fs::create_dir(&longer).unwrap();
    fs::write(longer.join("key"), b"not yours").unwrap();
    symlink("../secrets-of-others/key", ours.join("key")).unwrap();
    let read = read(&ours, &[name("key")]).map(|_| ());
    assert_eq!(read, Err(Trouble::Secret(name("key"), Why::Outside)));
}

#[test]
fn what_is_no_regular_file_is_not_served_and_not_waited_for() {
    let folder = folder(&[]);
    fs::create_dir(folder.path().join("dir")).unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(read_one(&folder, "dir"), Err(Why::NoFile));
    assert_eq!(read_one(&folder, "pipe"), Err(Why::NoFile));
    assert!(read_one(&folder, "socket").is_err());
}

#[test]
fn a_folder_that_is_gone_serves_nothing() {
    let folder = folder(&[("a", b"1")]);
    let path = folder.path().to_owned();
    drop(folder);
    let read = read(&path, &[name("a")]).map(|_| ());
    assert_eq!(read, Err(Trouble::Secret(name("a"), Why::Folder(io::ErrorKind::NotFound))));
}

#[test]
fn a_file_that_everybody_may_read_is_told() {
    let folder = folder(&[("a", b"1")]);
    let path = folder.path().join("a");
    for (mode, expected) in [(0o600, false), (0o640, false), (0o644, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let contents = read(folder.path(), &[name("a")]).ok().unwrap();
        assert_eq!(contents[0].open_to_all, expected);
    }
}

/// Does what a kubelet does: a new folder, and the link to it exchanged by a rename. Two secrets
/// always match.
#[test]
fn secrets_that_are_exchanged_together_are_read_together() {
    let folder = folder(&[]);
    let at = |name: &str| folder.path().join(name);
    let exchange = {
        let folder = folder.path().to_owned();
        move |round: u32| {
            let data = folder.join(format!("..round_{round}"));
            fs::create_dir(&data).unwrap();
            fs::write(data.join("key"), round.to_string()).unwrap();
            fs::write(data.join("password"), round.to_string()).unwrap();
            symlink(format!("..round_{round}"), folder.join("..data_tmp")).unwrap();
            fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        }
    };
    exchange(0);
    symlink("..data/key", at("key")).unwrap();
    symlink("..data/password", at("password")).unwrap();
    let exchanging = std::thread::spawn(move || (1..400).for_each(exchange));
    let mut rounds = std::collections::BTreeSet::new();
    while !exchanging.is_finished() || rounds.is_empty() {
        // The order in which they would come apart.
        match read(folder.path(), &[name("key"), name("password"), name("key")]) {
            Ok(contents) => {
                let values: Vec<&[u8]> = contents.iter().map(|content| content.value.as_bytes()).collect();
                assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "a mixture was read");
                rounds.insert(values[0].to_vec());
            }
            Err(trouble) => assert_eq!(trouble, Trouble::Restless),
        }
    }
    exchanging.join().unwrap();
    assert!(rounds.len() > 1, "nothing was read while they were exchanged");
}
