//! Children that stop with us, however we stop.
//!
//! A dropped [`Process`] ends its child by id. For the case that nothing is dropped (a killed test,
//! statics), the child also asks the kernel for a signal at its parent's death. That signal is tied
//! to the *thread* that started the child, and a test's thread ends with the test, so one thread
//! that lives as long as the process starts them all.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// A running child with its output in a log file.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    // Held open: the Node scripts stop when it closes.
    _input: Option<ChildStdin>,
}

impl Process {
    /// Starts a program; its standard error, and its standard output unless that is piped, go to
    /// `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        name: &'static str,
        program: &Path,
        arrange: impl FnOnce(&mut Command),
        log: &Path,
    ) -> io::Result<Self> {
        let mut command = if has_setpriv() {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let output = File::create(log)?;
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        arrange(&mut command);
        let mut child = start_from_lasting_thread(command)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot start {}: {error}", program.display())))?;
        let input = child.stdin.take();
        remember_log(name, log);
        Ok(Self { name, child, log: log.to_path_buf(), _input: input })
    }

    /// The child's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Its whole log so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Fails when the child has ended, with the end of its log.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended early ({status}):\n{}", self.name, self.log_tail())),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// Sends it a signal, by its name with a dash in front.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {signal} to {}", self.name);
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended by itself; tells whether it was content.
    pub fn wait(&mut self) -> bool {
        self.child.wait().is_ok_and(|status| status.success())
    }

    /// Reads the first line of its piped standard output; the rest is thrown away.
    ///
    /// # Errors
    /// When it ends without one.
    pub fn first_line(&mut self) -> Result<String, String> {
        let output = self.child.stdout.take().ok_or_else(|| format!("{}: output is not piped", self.name))?;
        let mut reader = BufReader::new(output);
        let mut line = String::new();
        let read = reader.read_line(&mut line).map_err(|error| format!("{}: {error}", self.name))?;
        if read == 0 {
            let _ = self.child.wait();
            return Err(format!("{} ended before it was ready:\n{}", self.name, self.log_tail()));
        }
        // A full pipe would stop the child in the middle of a write.
        std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        Ok(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        // TERM first, so that a program flushes its logs; std can only KILL, so the shell's `kill`
        // sends it.
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        let patience = Instant::now() + Duration::from_secs(3);
        while asked.is_ok() && Instant::now() < patience {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a file.
#[must_use]
pub fn tail(path: &Path) -> String {
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

/// From the first child on, a panic also shows where every log ends: what Envoy said is usually the
/// answer.
fn remember_log(name: &'static str, log: &Path) {
    static LOGS: Mutex<Vec<(&'static str, PathBuf)>> = Mutex::new(Vec::new());
    static HOOK: OnceLock<()> = OnceLock::new();
    let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    logs.retain(|(_, path)| path.exists());
    logs.push((name, log.to_path_buf()));
    HOOK.get_or_init(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            usual(panic);
            // `try_lock`: the panic may come from a thread that holds it.
            if let Ok(logs) = LOGS.try_lock() {
                for (name, path) in logs.iter().filter(|(name, path)| *name == "envoy" && path.exists()) {
                    eprintln!("--- the end of {name}'s log ({}) ---\n{}", path.display(), tail(path));
                }
            }
        }));
    });
}

fn start_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in receiver {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts children is gone");
    orders.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn has_setpriv() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let asked = Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    })
}

/// How much of a log a failure shows.
const SHOWN_LINES: usize = 40;
