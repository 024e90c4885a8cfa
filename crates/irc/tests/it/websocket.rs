//! IRC over WebSocket, in text and binary frames, through the node's HTTP front.

use base64::Engine as _;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::world::World;

async fn connects(
    address: std::net::SocketAddr,
    protocol: &'static str,
) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut request = format!("ws://{address}/irc").into_client_request().unwrap();
    let header = protocol.parse().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", header);
    let (socket, answer) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], protocol);
    socket
}

#[tokio::test]
async fn lines_are_messages_in_text_and_binary() {
    let world = World::new().await;
    let router = sammen_irc::websocket::router(world.server.clone(), "/irc");
    let (address, serving) = world.serves(router);
    for (protocol, binary) in [("text.ircv3.net", false), ("binary.ircv3.net", true)] {
        let mut socket = connects(address, protocol).await;
        let plain = base64::engine::general_purpose::STANDARD.encode("\0alice\0open sesame");
        let plain = format!("AUTHENTICATE {plain}");
        for line in [
            "CAP REQ :sasl",
            "NICK alice",
            "USER a 0 * :a",
            "AUTHENTICATE PLAIN",
            &plain,
            "CAP END",
            "PING end",
        ] {
            let frame = if binary {
                Frame::Binary(line.as_bytes().to_vec().into())
            } else {
                Frame::Text(line.into())
            };
            socket.send(frame).await.unwrap();
        }
        let mut welcome = false;
        loop {
            let line = match socket.next().await.unwrap().unwrap() {
                Frame::Text(text) if !binary => text.to_string(),
                Frame::Binary(bytes) if binary => String::from_utf8(bytes.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            };
            assert!(!line.contains(['\r', '\n']));
            welcome |= line.contains(" 001 alice ");
            if line.ends_with("PONG example.org :end") {
                break;
            }
        }
        assert!(welcome);
        socket.send(Frame::Text("QUIT".into())).await.unwrap();
        let mut last = String::new();
        while let Some(Ok(frame)) = socket.next().await {
            if !frame.is_close() {
                last = String::from_utf8(frame.into_data().to_vec()).unwrap();
            }
        }
        assert!(last.starts_with("ERROR :"));
    }
    world.shutdown.cancel();
    serving.await.unwrap();
}
