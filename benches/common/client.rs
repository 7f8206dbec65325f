//! A client of one connection, so that what is measured is the server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// One connection that is kept.
pub(crate) struct Client {
    connection: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            connection: BufReader::new(stream),
        })
    }

    /// Asks and waits for the whole answer: its status and its body.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.connection.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            self.connection.read_line(&mut line)?;
            if status == 0 {
                status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.connection.read_exact(&mut answer)?;
        Ok((status, answer))
    }

    /// [`Self::ask`] for an answer that has to be 200.
    pub(crate) fn get(&mut self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let (status, answer) = self.ask(method, path, body).expect("the server answers");
        assert_eq!(status, 200, "{method} {path}: {}", String::from_utf8_lossy(&answer));
        answer
    }
}
