//! `load WORK --flag value …`: does one work to one server and prints a line of JSON for each result. `bench/run` drives it.

mod args;
mod conn;
mod http;
mod latency;
mod marker;
mod meter;
mod pace;
mod scram;
mod seen;
mod works;
mod xmpp;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use args::Args;
use meter::Meter;
use works::fan::Drive;
use works::{Setting, direct, idle, irc, login, matrix, room};
use xmpp::Server;

const USAGE: &str = "\
load direct   --pairs N --count N --window N --rate R --warmup N --payload light|rich --archive true|false
load room     --people N --count N --window N --rate R --room NAME --archive true|false
load login    --accounts N --count N --width N --starttls true|false
load idle     --count N --hold SECONDS
load irc      --people N --count N --window N --rate R --channel NAME --caps 'A B' [--password '' for none]
load matrix   --rooms N --people N --count N --window N --rate R
load matrix-first --rooms N --count N --times N
load archive  --name NAME --of ADDRESS --with ADDRESS [--distinct N]
load memory
all: --at HOST:PORT --domain D --rooms D --password P --prefix P --mechanism scram|plain --pids A,B --patience SECONDS";

fn main() {
    let args = Args::read().unwrap_or_else(|why| {
        eprintln!("load: {why}\n\n{USAGE}");
        std::process::exit(2);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, work(&args)));
    match done {
        Ok(results) => results
            .into_iter()
            .for_each(|result| println!("{}", Value::Object(result))),
        Err(why) => {
            eprintln!("load: {why}");
            std::process::exit(1);
        }
    }
}

async fn work(args: &Args) -> Result<Vec<Map<String, Value>>, String> {
    let at: SocketAddr = args.get("at", SocketAddr::from(([127, 0, 0, 1], 5222)))?;
    let setting = Setting {
        meter: Meter::new(args.numbers("pids")?),
        prefix: args.text("prefix", "u"),
        patience: Duration::from_secs(args.get("patience", 120)?),
    };
    let password = args.text("password", "open-sesame");
    let mut server = Server::new(at, args.text("domain", "localhost"), password.clone());
    server.rooms = args.text("rooms", &server.rooms);
    server.starttls = args.get("starttls", args.work == "idle")?;
    server.mechanism = args.text("mechanism", "scram");
    let server = Rc::new(server);
    let drive = |count, window| {
        Ok::<_, String>(Drive {
            count: args.get("count", count)?,
            window: args.get("window", window)?,
            rate: args.get("rate", 0.0)?,
            patience: setting.patience,
        })
    };
    let results: io::Result<Vec<_>> = match args.work.as_str() {
        "direct" => {
            let plan = direct::Plan {
                pairs: args.get("pairs", 100)?,
                count: args.get("count", 2000)?,
                window: args.get("window", 20)?,
                rate: args.get("rate", 0.0)?,
                warmup: args.get("warmup", 20)?,
                payload: args.text("payload", "light"),
                archive: args.get("archive", false)?,
            };
            direct::run(server, &setting, &plan)
                .await
                .map(|result| vec![result])
        }
        "room" => {
            let plan = room::Plan {
                people: args.get("people", 500)?,
                drive: drive(1000, 20)?,
                room: args.text("room", "bench"),
                archive: args.get("archive", false)?,
            };
            room::run(server, &setting, &plan).await
        }
        "login" => {
            let plan = login::Plan {
                accounts: args.get("accounts", 100)?,
                count: args.get("count", 2000)?,
                width: args.get("width", 10)?,
            };
            login::run(server, &setting, &plan)
                .await
                .map(|result| vec![result])
        }
        "idle" => {
            let plan = idle::Plan {
                count: args.get("count", 5000)?,
                hold: args.get("hold", 10)?,
            };
            idle::run(server, &setting, &plan)
                .await
                .map(|result| vec![result])
        }
        "irc" => {
            let plan = irc::Plan {
                addr: at,
                people: args.get("people", 500)?,
                channel: args.text("channel", "#bench"),
                password,
                caps: args.text("caps", ""),
                drive: drive(20_000, 256)?,
            };
            irc::run(&setting, &Rc::new(plan))
                .await
                .map(|result| vec![result])
        }
        work @ ("matrix" | "matrix-first") => {
            let plan = matrix::Plan {
                addr: at,
                rooms: args.get("rooms", 10)?,
                people: args.get("people", 10)?,
                password,
                drive: drive(2000, 20)?,
            };
            let plan = Rc::new(plan);
            let done = if work == "matrix" {
                matrix::run(&setting, &plan).await
            } else {
                matrix::first(&setting, &plan, args.get("times", 5)?).await
            };
            done.map(|result| vec![result])
        }
        "archive" => archive(&server, args).await,
        "memory" => Ok(vec![Map::from_iter([(
            "memory_kib".to_owned(),
            json!(setting.meter.memory_kib()),
        )])]),
        other => return Err(format!("no such work: {other}\n\n{USAGE}")),
    };
    results.map_err(|error| error.to_string())
}

/// Asks an archive from outside a work: what the IRC works left in a room.
async fn archive(server: &Server, args: &Args) -> io::Result<Vec<Map<String, Value>>> {
    let wrong = |why: String| io::Error::other(why);
    let (name, of, with) = (
        args.text("name", "u0"),
        args.text("of", ""),
        args.text("with", ""),
    );
    let mut conn = server.sign_in(&name).await?;
    let count = xmpp::archive_count(&mut conn, &of, &with).await?;
    let mut seen = seen::Seen::new(args.get("distinct", 0).map_err(wrong)?);
    let results = xmpp::archive_pages(&mut conn, &of, &with, &mut seen).await?;
    let mut verdict = seen::Verdict::default();
    verdict.add(&seen);
    Ok(vec![Map::from_iter([
        ("entries".to_owned(), json!(count)),
        ("results".to_owned(), json!(results)),
        ("found".to_owned(), json!(seen.distinct)),
        ("pages_exactly_once".to_owned(), json!(verdict.perfect())),
    ])])
}
