//! The server speaking TLS itself.

use std::{fs, sync::Arc};

use invoke_core::{
    Core,
    config::{Config, Settings},
    env::Env,
    service::Door,
};
use invoke_server::{Options, Server, Tls, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_its_key_make_the_server_speak_tls() {
    let root = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(root.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(root.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let settings = Settings {
        use_memory_db: true,
        ssl_certfile: Some("cert.pem".into()),
        ssl_keyfile: Some("key.pem".into()),
        ..Settings::default()
    };
    let core = Core::of_config(Config::from_settings(root.path(), settings), Env::system(), Door::Library).unwrap();
    let options = Options {
        tls: Tls::of(core.config()).unwrap(),
        ..Options::of(core.config())
    };
    let server = Arc::new(Server::new(core, options).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(server, listener, std::future::pending()));

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream
        .write_all(b"GET /api/v1/app/version HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("6.14.2"), "{answer}");

    // A client that speaks no TLS is let go, and the server lives on.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut told = Vec::new();
    let _ = plain.read_to_end(&mut told).await;
    assert!(!told.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_by_the_settings_name() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    file("cert.pem", &made.cert.pem());
    file("key.pem", &made.signing_key.serialize_pem());
    file("both.pem", &format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()));
    file("empty.pem", "");
    let told = |cert: Option<&str>, key: Option<&str>| {
        let settings = Settings {
            ssl_certfile: cert.map(Into::into),
            ssl_keyfile: key.map(Into::into),
            ..Settings::default()
        };
        Tls::of(&Config::from_settings(root.path(), settings)).map(|tls| tls.is_some())
    };
    assert_eq!(told(None, None), Ok(false));
    assert_eq!(told(Some("cert.pem"), Some("key.pem")), Ok(true));
    assert_eq!(told(Some("both.pem"), None), Ok(true));
    for (cert, key, named) in [
        (None, Some("key.pem"), "`ssl_keyfile`"),
        (Some("missing.pem"), Some("key.pem"), "`ssl_certfile`"),
        (Some("empty.pem"), Some("key.pem"), "`ssl_certfile`"),
        (Some("cert.pem"), Some("missing.pem"), "`ssl_keyfile`"),
        (Some("cert.pem"), Some("empty.pem"), "`ssl_keyfile`"),
        (Some("cert.pem"), None, "`ssl_keyfile`"),
    ] {
        let text = told(cert, key).unwrap_err();
        assert!(text.starts_with(named), "{text}");
    }
}
