//! What an operator does with a node.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::node::{Node, command, folder, names, refused, told};

#[test]
fn a_trial_says_where_everything_is_and_keeps_its_people_through_a_kill() {
    let (_temporary, data) = folder();
    let node = Node::tries(&data);
    let people = node.card["accounts"].clone();
    assert_eq!(node.card["domain"], "localhost");
    assert_eq!(node.card["room"], "town");
    for pointer in [
        "/listeners/xmpp/c2s",
        "/listeners/xmpp/direct_tls",
        "/listeners/irc/tls",
        "/listeners/irc/plain",
    ] {
        TcpStream::connect(node.address(pointer)).unwrap();
    }
    assert!(
        node.address("/listeners/http/url")
            .starts_with("https://127.0.0.1:")
    );
    assert!(
        std::fs::read_to_string(node.address("/ca"))
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    assert_eq!(told(&data, "account add carol", "")["name"], "carol");
    node.kill();

    let node = Node::tries(&data);
    assert_eq!(node.card["accounts"], people);
    assert_eq!(names(&data), ["alice", "bob", "carol"]);
    assert_eq!(told(&data, "check", "")["ok"], true);
    assert_eq!(node.stops(), Some(0));
}

#[test]
fn secrets_are_their_owners_alone() {
    let (_temporary, data) = folder();
    let node = Node::tries(&data);
    let mode = |name: &str| {
        let metadata = std::fs::metadata(data.join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    for name in ["admin.socket", "try.json", "tls/key.pem", "log.sqlite"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    drop(node);
}

#[test]
fn alice_signs_in_over_irc_with_the_password_of_the_card() {
    let (_temporary, data) = folder();
    let node = Node::tries(&data);
    let password = node.address("/accounts/0/password");
    let mut stream = TcpStream::connect(node.address("/listeners/irc/plain")).unwrap();
    write!(
        stream,
        "PASS alice:{password}\r\nNICK alice\r\nUSER alice 0 * :Alice\r\n"
    )
    .unwrap();
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let welcome = lines
        .map_while(Result::ok)
        .find(|line| line.contains(" 001 "));
    assert!(welcome.is_some_and(|line| line.contains("alice")));
    let metrics = node.get("/metrics");
    for line in [
        "sammen_sessions{protocol=\"irc\"} 1",
        "sammen_connections{protocol=\"irc\"} 1",
        "sammen_logins_total{result=\"ok\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("alice"), "nobody's name is in it");
    assert!(node.get("/health").starts_with("HTTP/1.1 200"));
}

#[test]
fn accounts_are_administered_with_and_without_a_node() {
    let (_temporary, data) = folder();
    let node = Node::tries(&data);
    for running in [true, false] {
        let name = if running { "dora" } else { "emil" };
        let made = told(&data, &format!("account add {name}"), "");
        assert_eq!(made["password"].as_str().unwrap().len(), 23);
        let given = told(
            &data,
            &format!("account password {name} --stdin"),
            "open sesame\n",
        );
        assert_eq!(given.get("password"), None, "what was given is not told");
        let again = refused(&data, &format!("account add {name}"), "");
        assert!(again.contains("taken"), "{again}");
        let short = refused(
            &data,
            &format!("account password {name} --stdin"),
            "short\n",
        );
        assert!(short.contains("8 characters"), "{short}");

        let phone = told(
            &data,
            &format!("account app-password {name} phone --only xmpp"),
            "",
        );
        let list = told(&data, &format!("account app-password {name} --list"), "");
        assert_eq!(list[0]["id"], phone["id"]);
        assert_eq!(list[0].get("password"), None);
        let id = phone["id"].as_str().unwrap();
        told(
            &data,
            &format!("account app-password {name} --remove {id}"),
            "",
        );
        let list = told(&data, &format!("account app-password {name} --list"), "");
        assert_eq!(list, Value::Array(Vec::new()));

        let compacted = told(&data, "compact", "");
        assert!(compacted["bytes"].as_u64().unwrap() > 0, "{compacted}");

        told(&data, &format!("account disable {name}"), "");
        told(&data, &format!("account enable {name}"), "");
        told(&data, &format!("account remove {name}"), "");
        assert!(refused(&data, &format!("account add {name}"), "").contains("taken"));
        if running {
            node.signal("TERM");
            // The socket goes before the store is free; the folder's lock says when.
            while command(&data, "account list", "").status.code() != Some(0) {}
        }
    }
    assert_eq!(
        told(&data, "account import", "fay secret-fay\ngus secret-gus\n")["made"],
        2
    );
    assert_eq!(names(&data), ["alice", "bob", "fay", "gus"]);
}

#[test]
fn rooms_are_administered() {
    let (_temporary, data) = folder();
    let _node = Node::tries(&data);
    let made = told(
        &data,
        "room create club --owner alice listed=yes topic=Hello",
        "",
    );
    assert_eq!(made["topic"], "Hello");
    assert_eq!(made["members"][0]["standing"], "owner");
    let bound = told(&data, "room settings club encryption=OMEMO", "");
    assert_eq!(
        (&bound["join"], &bound["addresses_open"]),
        (&"members".into(), &true.into())
    );
    assert!(refused(&data, "room settings club colour=red", "").contains("colour"));
    told(&data, "room standing club bob admin", "");
    let list = told(&data, "room list", "");
    assert_eq!(list.as_array().unwrap().len(), 2);
    let renamed = told(&data, "room rename club society", "");
    assert_eq!(
        (&renamed["room"], &renamed["before"][0]),
        (&"society".into(), &"club".into())
    );
    assert!(refused(&data, "room create club", "").contains("society"));
    assert_eq!(told(&data, "room settings club", "")["room"], "society");
    told(&data, "room destroy society --reason over", "");
    assert!(refused(&data, "room settings club", "").contains("no room"));
}

#[test]
fn a_backup_of_a_running_node_comes_back_elsewhere() {
    let (temporary, data) = folder();
    let node = Node::tries(&data);
    let people = node.card["accounts"].clone();
    let file = temporary.path().join("node.backup");
    let to = file.display();
    let made = told(&data, &format!("backup {to}"), "");
    let passphrase = made["passphrase"].as_str().unwrap().to_owned() + "\n";
    assert!(refused(&data, &format!("backup {to}"), "").contains("cannot write"));
    let next = temporary.path().join("next.backup");
    let kept = told(&data, &format!("backup --keep 1 {}", next.display()), "");
    assert_eq!(kept["deleted"], serde_json::json!([]), "none is a day old");
    told(&data, "account add late", "");
    drop(node);

    let other = temporary.path().join("other");
    let wrong = refused(&other, &format!("restore {to}"), "wrong\n");
    assert!(wrong.contains("passphrase"), "{wrong}");
    told(&other, &format!("restore {to}"), &passphrase);
    assert!(refused(&other, &format!("restore {to}"), &passphrase).contains("not empty"));
    assert_eq!(names(&other), ["alice", "bob"]);
    assert_eq!(told(&other, "check", "")["ok"], true);
    // Passwords and certificates came along.
    let authority = std::fs::read(data.join("tls/ca.pem")).unwrap();
    let node = Node::tries(&other);
    assert_eq!(node.card["accounts"], people);
    assert_eq!(std::fs::read(node.address("/ca")).unwrap(), authority);
}

#[test]
fn a_folder_has_one_node_and_one_domain() {
    let (_temporary, data) = folder();
    let node = Node::tries(&data);
    let second = command(&data, "try --json", "");
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"));
    drop(node);
    let config = data.join("sammen.toml");
    std::fs::write(
        &config,
        format!("domain = 'other.org'\ndata = '{}'", data.display()),
    )
    .unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_sammen"))
        .args(["account", "list", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("belongs to localhost"));
}

#[test]
fn a_served_node_is_ready_reloads_and_stops() {
    let (temporary, data) = folder();
    let config = temporary.path().join("sammen.toml");
    let text = |motd: &str| {
        let any = "address = '127.0.0.1:0', security";
        format!(
            "domain = 'example.org'\ndata = '{}'\n[xmpp]\nlisten = [{{ {any} = 'starttls' }}]\ns2s = {{ listen = [] }}\n\
             [irc]\nlisten = [{{ {any} = 'plain' }}]\nmotd = '{motd}'\n[http]\nlisten = []\n[metrics]\nlisten = []\n",
            data.display()
        )
    };
    std::fs::write(&config, text("first")).unwrap();
    let node = Node::serves(&config);
    let ready = node.card.as_str().unwrap().to_owned();
    let irc = ready.rsplit("irc ").next().unwrap().to_owned();
    let made = told(&data, "account add alice", "");
    let password = made["password"].as_str().unwrap();

    let mut stream = TcpStream::connect(&irc).unwrap();
    write!(
        stream,
        "PASS alice:{password}\r\nNICK alice\r\nUSER a 0 * :A\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(lines.any(|line| line.contains(" 372 ") && line.contains("first")));

    std::fs::write(&config, text("second")).unwrap();
    node.signal("HUP");
    // Asked again until it is there: there is no other sign of a reload than what it changes.
    loop {
        write!(stream, "MOTD\r\n").unwrap();
        let line = lines.find(|line| line.contains(" 372 ")).unwrap();
        if line.contains("second") {
            break;
        }
    }
    // A mistake in the file changes nothing.
    std::fs::write(&config, "domian = 'example.org'").unwrap();
    node.signal("HUP");
    write!(stream, "MOTD\r\n").unwrap();
    assert!(lines.any(|line| line.contains(" 372 ") && line.contains("second")));
    assert_eq!(node.stops(), Some(0));
    // The client was told and let go.
    assert_eq!(
        lines.find(|line| line.starts_with("ERROR")).map(drop),
        Some(())
    );
    assert_eq!(lines.next(), None);
}

#[test]
fn the_service_manager_hears_that_it_is_ready_and_that_it_stops() {
    let (temporary, data) = folder();
    let path = temporary.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let config = temporary.path().join("sammen.toml");
    let nothing = "listen = []";
    std::fs::write(
        &config,
        format!(
            "domain = 'example.org'\ndata = '{}'\n[xmpp]\n{nothing}\ns2s = {{ {nothing} }}\n[irc]\n{nothing}\n[http]\n{nothing}\n[metrics]\n{nothing}\n",
            data.display()
        ),
    )
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sammen"))
        .args(["serve", "--config"])
        .arg(&config)
        .env("NOTIFY_SOCKET", &path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let hears = || {
        let mut buffer = [0; 64];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    };
    assert_eq!(hears(), "READY=1");
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert_eq!(hears(), "STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_wrong_configuration_is_told_with_line_and_suggestion() {
    let temporary = tempfile::tempdir().unwrap();
    let config = temporary.path().join("sammen.toml");
    std::fs::write(
        &config,
        "domain = 'example.org'\n[xmpp]\nresume_second = 5\n",
    )
    .unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_sammen"))
        .args(["check", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success());
    assert!(
        said.contains("line 3") && said.contains("did you mean `resume_seconds`?"),
        "{said}"
    );
}

#[test]
fn an_accounts_settings_are_shown_and_changed_with_and_without_a_node() {
    let (_temporary, data) = folder();
    let node = Node::tries(&data);
    let shown = told(&data, "account settings alice", "");
    for switch in ["receipts", "typing", "last_seen"] {
        assert_eq!(shown[switch], "on");
    }
    assert_eq!(shown["retention"], "none");
    let changed = told(
        &data,
        "account settings alice --receipts off --retention 30",
        "",
    );
    assert_eq!(
        (&changed["receipts"], &changed["typing"]),
        (&"off".into(), &"on".into())
    );
    assert_eq!(node.stops(), Some(0));
    let changed = told(&data, "account settings alice --last-seen off", "");
    assert_eq!(changed["receipts"], "off", "what was said before stays");
    assert_eq!(changed["last_seen"], "off");
    assert_eq!(changed["retention"], "30");
    let changed = told(&data, "account settings alice --retention none", "");
    assert_eq!(changed["retention"], "none");
    let nobody = refused(&data, "account settings nobody", "");
    assert!(nobody.contains("no account"), "{nobody}");
}

#[test]
fn certificates_are_added_listed_and_removed() {
    let (_temporary, data) = folder();
    let node = Node::tries(&data);
    let file = data.join("tls/cert.pem");
    let add = format!(
        "account certificate alice add {} --label laptop --only irc",
        file.display()
    );
    let added = told(&data, &add, "");
    let print = added["fingerprint"].as_str().unwrap();
    assert_eq!(print.len(), 64);
    assert!(refused(&data, &add, "").contains("before"));
    let list = told(&data, "account certificate alice list", "");
    assert_eq!(list[0]["label"], "laptop");
    assert_eq!(list[0]["fingerprint"], added["fingerprint"]);
    assert_eq!(list[0]["only"][0], "irc");
    let none = data.join("tls/key.pem");
    let none = format!("account certificate alice add {}", none.display());
    assert!(refused(&data, &none, "").contains("no certificate"));
    let remove = format!("account certificate alice remove {print}");
    told(&data, &remove, "");
    assert!(refused(&data, &remove, "").contains("no certificate"));
    let list = told(&data, "account certificate alice list", "");
    assert_eq!(list.as_array().unwrap().len(), 0);
    drop(node);
}

#[test]
fn an_operator_invites_with_and_without_a_node() {
    let (_temporary, data) = folder();
    let node = Node::tries(&data);
    let words = "invite --from alice --room town --label cousin";
    let made = told(&data, words, "");
    let link = made["link"].as_str().unwrap();
    let token = link.rsplit('/').next().unwrap();
    assert!(link.starts_with("https://127.0.0.1:"), "{link}");
    let uri = format!("xmpp:alice@localhost?roster;preauth={token};ibr=y");
    assert_eq!(made["xmpp"], uri);
    assert_eq!(made["left"], 1);
    let promised = told(&data, "invite --name juliet --days 0 --uses 0", "");
    assert_eq!(promised["until"], Value::Null);
    assert!(refused(&data, "invite --name alice", "").contains("taken"));
    assert!(refused(&data, "invite --from nobody", "").contains("no account"));
    drop(node);

    let list = told(&data, "invite --list", "");
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert!(!list.to_string().contains(token), "a token is told once");
    let id = made["id"].as_str().unwrap();
    told(&data, &format!("invite --revoke {id}"), "");
    assert!(refused(&data, &format!("invite --revoke {id}"), "").contains("no invitation"));
    assert_eq!(
        told(&data, "invite --list", "").as_array().unwrap().len(),
        1
    );
}

#[test]
fn a_check_finds_what_is_in_the_way_and_makes_nothing() {
    let (temporary, data) = folder();
    let config = temporary.path().join("sammen.toml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    std::fs::write(
        &config,
        format!(
            "domain = 'example.org'\ndata = '{}'\n[xmpp]\nlisten = []\ns2s = {{ enabled = false }}\n\
             [irc]\nlisten = [{{ address = '127.0.0.1:{port}', security = 'tls' }}]\n[http]\nlisten = []\n[metrics]\nlisten = []\n",
            data.display()
        ),
    )
    .unwrap();
    let check = || {
        let out = Command::new(env!("CARGO_BIN_EXE_sammen"))
            .args(["check", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap())
    };
    let (code, said) = check();
    assert!(said.contains("another program listens"), "{said}");
    assert_eq!((code, data.exists()), (Some(1), false));
    drop(taken);
    assert_eq!(check(), (Some(0), "all is well\n".to_owned()));
    assert!(!data.exists());
    // The node's own listeners are not in its way.
    let node = Node::serves(&config);
    assert_eq!(check(), (Some(0), "all is well\n".to_owned()));
    assert_eq!(node.stops(), Some(0));
}
