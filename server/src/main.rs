//! The `hubbub` command: reads what the operator chose, serves, and stops on SIGTERM or Ctrl-C.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use clap::CommandFactory;
use server::{
    Command, Config, Listener, LogFormat, Server, Settings, StartError, admin, lab::Asked, mint,
    on_nats, transfer,
};
use tracing_subscriber::EnvFilter;

/// Gives back to the system what a burst has taken; the system's own keeps it.
#[cfg(all(target_os = "linux", not(target_env = "musl")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let settings = Settings::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let is_check = matches!(settings.config.command, Some(Command::Check));
    let unfit = if is_check { settings.unfit() } else { Vec::new() };
    for line in settings.wrong.iter().chain(&unfit) {
        eprintln!("hubbub: {line}");
    }
    if !settings.wrong.is_empty() {
        return ExitCode::from(2);
    }
    let config = settings.config;
    let filter = match EnvFilter::try_new(&config.log) {
        Ok(filter) => filter,
        Err(error) => return fail(&format!("--log {}: {error}", config.log)),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let log: Box<dyn tracing::Subscriber + Send + Sync> = match config.log_format {
        LogFormat::Text => Box::new(log.finish()),
        LogFormat::Json => Box::new(log.json().flatten_event(true).finish()),
    };
    // Not `init`, which would take in what libraries tell by the crate `log`: tungstenite tells whole frames, tokens
    // and all.
    if let Err(error) = tracing::subscriber::set_global_default(log) {
        return fail(&error.to_string());
    }
    if config.command.is_none() && !server::site::is_there() {
        return fail("this binary was built without its site; build it with `cargo xtask build`");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(64)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("can't start: {error}")),
    };
    match runtime.block_on(run(config, unfit.len())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Does what is asked for; `unfit` settings were found that can't be used.
#[allow(clippy::print_stdout)]
async fn run(config: Config, unfit: usize) -> Result<(), String> {
    match &config.command {
        None => serve(config).await,
        Some(Command::Export) => {
            let count = match on_nats(&config, false).await.map_err(|error| error.to_string())? {
                Some(log) => transfer::export_from(&log, std::io::stdout()).await,
                None => transfer::export(&config.data, std::io::stdout()),
            };
            count.map(|count| tracing::info!(count, "exported")).map_err(|error| error.to_string())
        }
        Some(Command::Check) => check(&config, unfit).await,
        Some(Command::Lab(asked)) => race(asked).await,
        Some(Command::Token(asked)) => {
            println!("{}", mint::token(&config, asked).await?);
            Ok(())
        }
        Some(Command::Admin(asked)) => {
            let told = admin::run(&config, asked).await?;
            print(format!("{told}\n").as_bytes())
        }
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Config::command(), "hubbub", &mut script);
            print(&script)
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Config::command())
                .render(&mut page)
                .map_err(|error| error.to_string())?;
            print(&page)
        }
        Some(Command::Import { file }) => {
            let count = match on_nats(&config, true).await.map_err(|error| error.to_string())? {
                Some(log) => transfer::import_into(&log, file.as_deref()).await,
                None => transfer::import(&config.data, file.as_deref()).await,
            };
            count.map(|count| tracing::info!(count, "imported")).map_err(|error| error.to_string())
        }
    }
}

/// Looks through what is kept, and says how all of it is, with the `unfit` settings that have been told.
#[allow(clippy::print_stdout)]
async fn check(config: &Config, unfit: usize) -> Result<(), String> {
    let (well, damaged) = match on_nats(config, false).await {
        Ok(Some(log)) => (transfer::check_log(&log).await.map_err(|error| error.to_string())?, 0),
        Err(StartError::Nats(error @ jetstream::OpenError::NoStream(_))) => {
            eprintln!("hubbub: {error} on NATS yet; the first server makes it");
            (0, 0)
        }
        Err(error) => return Err(error.to_string()),
        Ok(None) if config.ephemeral => (0, 0),
        Ok(None) => {
            transfer::check(&config.data, std::io::stderr()).map_err(|error| error.to_string())?
        }
    };
    match (damaged, unfit) {
        (0, 0) if config.ephemeral => println!("all is well"),
        (0, 0) => println!("all is well; messages: {well}"),
        (0, _) => return Err(format!("{unfit} settings can't be used")),
        _ => {
            return Err(format!(
                "{damaged} things are damaged; restore a backup, or export what is well"
            ));
        }
    }
    Ok(())
}

fn print(bytes: &[u8]) -> Result<(), String> {
    std::io::stdout().write_all(bytes).map_err(|error| error.to_string())
}

#[allow(clippy::print_stdout)]
async fn serve(config: Config) -> Result<(), String> {
    let listener = Listener::open(&config).await.map_err(|error| error.to_string())?;
    let server = Server::open(config).await.map_err(|error| error.to_string())?;
    let url = listener.url().map_err(|error| error.to_string())?;
    let stop = stop_signal()?;
    println!("listening on {url}");
    server.serve(listener, stop).await.map_err(|error| error.to_string())
}

#[allow(clippy::print_stdout)]
async fn race(asked: &Asked) -> Result<(), String> {
    let race = server::lab::run(asked).await?;
    match asked.json {
        true => {
            let json = serde_json::to_string_pretty(&race).map_err(|error| error.to_string())?;
            println!("{json}");
        }
        false => print!("{}", lab::table(&race)),
    }
    let is_well = |outcome: &lab::Outcome| {
        let figures = lab::Figures::of(outcome, &race.plan);
        outcome.failed.is_none() && figures.lost == 0 && figures.doubled == 0
    };
    match race.outcomes.iter().find(|outcome| !is_well(outcome)) {
        None => Ok(()),
        Some(outcome) => Err(format!("not all came back once over {}", outcome.road.word())),
    }
}

fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| format!("can't wait for signals: {error}"));
    let (mut terminate, mut interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn fail(message: &str) -> ExitCode {
    eprintln!("hubbub: {message}");
    ExitCode::FAILURE
}
