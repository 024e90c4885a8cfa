//! TLS as both ends see it.

use sammen_net::{Connection, Security, sasl::Channel, tls::TlsInfo};
use tokio::{io::AsyncReadExt, sync::mpsc};

use crate::world::{self, Trust};

/// A node that reports each TLS connection.
fn reporting(security: Security) -> (world::Node, mpsc::UnboundedReceiver<Option<TlsInfo>>) {
    let (report, reports) = mpsc::unbounded_channel();
    let node = world::listen(security, (100, 100), move |connection: Connection| {
        let _ = report.send(connection.peer.tls.clone());
        async move { drop(connection) }
    });
    (node, reports)
}

#[tokio::test]
async fn both_ends_have_the_same_channel_bindings() {
    let folder = tempfile::tempdir().unwrap();
    let tls = world::tls(folder.path());
    let (node, mut reports) = reporting(Security::Tls(world::acceptor(&tls)));
    let connector = Trust::default().connector(folder.path());
    let mut seen: Option<Channel> = None;
    for _twice_the_second_resumes in 0..2 {
        let mut client = world::connect(node.address, &connector).await.unwrap();
        let end = client
            .get_ref()
            .1
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)
            .unwrap();
        let certificate = client.get_ref().1.peer_certificates().unwrap()[0].clone();
        let info = reports.recv().await.unwrap().unwrap();
        assert_eq!(info.channel.exporter, Some(end));
        let hash = sammen_net::Hash::Sha256.digest(&certificate);
        assert_eq!(
            info.channel.server_end_point,
            Some(hash),
            "an ECDSA certificate signed with SHA-256"
        );
        assert_eq!(
            info.channel.binding_types(),
            ["tls-exporter", "tls-server-end-point"]
        );
        assert_eq!(
            (info.version, info.server_name.as_deref()),
            ("TLSv1_3", Some("localhost"))
        );
        if let Some(before) = seen.replace(info.channel.clone()) {
            assert_ne!(
                before.exporter, info.channel.exporter,
                "each connection its own"
            );
        }
        let _ = client.read_to_end(&mut Vec::new()).await; // The ticket comes before the end.
    }
    let old = Trust {
        tls12: true,
        ..Trust::default()
    }
    .connector(folder.path());
    let _client = world::connect(node.address, &old).await.unwrap();
    let info = reports.recv().await.unwrap().unwrap();
    assert_eq!(
        (info.version, info.channel.binding_types()),
        ("TLSv1_2", vec!["tls-server-end-point"])
    );
}

#[tokio::test]
async fn a_client_certificate_is_optional_and_known_by_its_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let tls = world::tls(folder.path());
    let (node, mut reports) = reporting(Security::Tls(tls.acceptor(&[], true).unwrap()));
    let without = Trust::default().connector(folder.path());
    let _client = world::connect(node.address, &without).await.unwrap();
    assert_eq!(
        reports.recv().await.unwrap().unwrap().channel.certificate,
        None
    );

    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["alice".into()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    for tls12 in [false, true] {
        let identity = Some((own.pem(), key.serialize_pem()));
        let with = Trust {
            identity,
            tls12,
            ..Trust::default()
        }
        .connector(folder.path());
        let _client = world::connect(node.address, &with).await.unwrap();
        let fingerprint = reports.recv().await.unwrap().unwrap().channel.certificate;
        assert_eq!(
            fingerprint.unwrap().to_vec(),
            sammen_net::Hash::Sha256.digest(own.der())
        );
    }
}

#[tokio::test]
async fn alpn_is_agreed_on_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tls = world::tls(folder.path());
    let (node, mut reports) = reporting(Security::Tls(
        tls.acceptor(&["xmpp-client"], false).unwrap(),
    ));
    let with = |alpn| {
        Trust {
            alpn,
            ..Trust::default()
        }
        .connector(folder.path())
    };
    let _client = world::connect(node.address, &with(Some("xmpp-client")))
        .await
        .unwrap();
    assert_eq!(
        reports.recv().await.unwrap().unwrap().alpn.as_deref(),
        Some("xmpp-client")
    );
    assert!(
        world::connect(node.address, &with(Some("h2")))
            .await
            .is_err()
    );
    let _client = world::connect(node.address, &with(None)).await.unwrap();
    assert_eq!(reports.recv().await.unwrap().unwrap().alpn, None);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tls = world::tls(old.path());
    let (node, _reports) = reporting(Security::Tls(world::acceptor(&tls)));
    world::tls(new.path());
    let (trusts_old, trusts_new) = (
        Trust::default().connector(old.path()),
        Trust::default().connector(new.path()),
    );
    assert!(world::connect(node.address, &trusts_old).await.is_ok());
    assert!(world::connect(node.address, &trusts_new).await.is_err());
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(new.path().join(file), old.path().join(file)).unwrap();
    }
    tls.reload(tls.source(), world::now()).unwrap();
    assert!(world::connect(node.address, &trusts_new).await.is_ok());
}
