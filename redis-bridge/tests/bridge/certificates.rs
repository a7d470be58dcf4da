//! Authorities and certificates, made by `openssl`.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A folder with `<name>.crt` and `<name>.key` of everything that was made.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    /// With these authorities.
    pub(crate) fn new(authorities: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        for authority in authorities {
            openssl(
                folder.path(),
                &format!("req -x509 {KEY} -days 2 -subj /CN={authority} -keyout {authority}.key -out {authority}.crt"),
            );
        }
        Self(folder)
    }

    /// Makes a certificate of an authority for these names, as openssl writes them, that lasts
    /// `days` days.
    pub(crate) fn issue(&self, authority: &str, name: &str, subject: &str, days: i32) {
        let folder = self.0.path();
        std::fs::write(folder.join(format!("{name}.ext")), format!("subjectAltName={subject}\n")).unwrap();
        openssl(folder, &format!("req {KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -days {days} -extfile {name}.ext -out {name}.crt"
            ),
        );
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file that was made.
    pub(crate) fn file(&self, file: &str) -> String {
        self.0.path().join(file).display().to_string()
    }

    /// A file that was made.
    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(file)).unwrap()
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
