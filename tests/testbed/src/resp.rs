//! Asks a Redis server or sentinel as its administrator, by itself and quickly: a process for each
//! question would be too slow to watch a failover with.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// The words of the answer in order, nested ones too; `None` when there is no answer soon, or an
/// error.
#[must_use]
pub fn ask(port: u16, words: &[&str]) -> Option<Vec<String>> {
    exchange(port, words).ok()
}

fn exchange(port: u16, words: &[&str]) -> io::Result<Vec<String>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    (&stream).write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    read(&mut BufReader::new(stream), &mut answer, 0)?;
    Ok(answer)
}

fn read(reader: &mut BufReader<TcpStream>, into: &mut Vec<String>, depth: usize) -> io::Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    let (sign, rest) = line.split_at_checked(1).ok_or(io::ErrorKind::InvalidData)?;
    let count = || rest.parse::<i64>().map_err(|_| io::ErrorKind::InvalidData);
    match sign {
        "+" | ":" => into.push(rest.to_owned()),
        "$" => {
            // -1 is no answer at all; it has no bytes.
            if let Ok(length) = usize::try_from(count()?) {
                let mut bytes = vec![0; length + 2];
                reader.read_exact(&mut bytes)?;
                bytes.truncate(length);
                into.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        "*" if depth < DEEPEST => {
            for _ in 0..count()? {
                read(reader, into, depth + 1)?;
            }
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    Ok(())
}

/// How long an answer may take: a stopped server gives none.
const PATIENCE: Duration = Duration::from_millis(500);
/// How deep answers may be nested.
const DEEPEST: usize = 4;
