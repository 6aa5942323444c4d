//! The image: `Dockerfile`, built and run by an engine, or, where there is none, its steps done in a clean Debian.
//!
//! The rule to keep: what is not understood here is an error, so that nothing in the file goes untested.

use std::{collections::BTreeMap, fs, net::TcpListener, process::Command};

use crate::{
    debian::Debian,
    serving::serves,
    step::{Result, answers, output, root, run, step},
};

const BASE: &str = "debian:bookworm-slim";
const NAME: &str = "hubbub-test";

/// What the file says of how to run what it makes.
#[derive(Default)]
struct Image {
    env: BTreeMap<String, String>,
    user: Option<String>,
    volume: String,
    port: String,
    health: String,
    entrypoint: String,
}

/// The image serves, as it is run when nothing is said, and its own check tells whether it does.
pub(crate) fn test() -> Result {
    let has_base = |engine: &&str| {
        [vec!["image", "inspect", BASE], vec!["pull", BASE]]
            .iter()
            .any(|args| answers(Command::new(engine).args(args)))
    };
    let engine = ["docker", "podman"].into_iter().find(has_base);
    if let Some(engine) = engine {
        return step(engine, || by_engine(engine));
    }
    println!("    no engine here has {BASE}: the steps of Dockerfile are done in a folder");
    match Debian::fresh("image")? {
        Some(debian) => step("image", || by_hand(debian)),
        None => Ok(()),
    }
}

fn by_engine(engine: &str) -> Result {
    let engine = || {
        let mut command = Command::new(engine);
        command.current_dir(root());
        command
    };
    run(engine().args(["build", "--tag", NAME, "."]))?;
    let image = read(|_, _| Ok(()))?;
    // Of a run that was broken off.
    answers(engine().args(["rm", "--force", "--volumes", NAME]));
    let served = serves(engine().args(["run", "--rm", "--name", NAME, NAME]), || {
        let mut health = engine();
        health.args(["exec", NAME, "sh", "-c", &image.health]);
        health
    });
    answers(engine().args(["rm", "--force", "--volumes", NAME]));
    served
}

fn by_hand(debian: Debian) -> Result {
    let mut image = read(|image, step| follow(&debian, image, step))?;
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let free = free.map_err(|error| format!("a free port: {error}"))?;
    // This machine's ports are not ours alone.
    image.env.insert("HUBBUB_LISTEN".to_owned(), format!("0.0.0.0:{}", free.port()));
    let inside = |program: &str| {
        let mut command = debian.command(image.user.as_deref(), program);
        command.envs(&image.env);
        command
    };
    serves(&mut inside(&image.entrypoint), || {
        let mut health = inside("/bin/sh");
        health.args(["-c", &image.health]);
        health
    })?;
    if !debian.path(&image.volume).join("hubbub.db").exists() {
        return Err(format!("nothing was kept in {}", image.volume));
    }
    debian.done()
}

/// Reads the file and hands each step that changes what is in the image, with its words, to `follow`.
fn read(follow: impl Fn(&Image, (&str, &str)) -> Result) -> Result<Image> {
    let text = fs::read_to_string(root().join("Dockerfile"))
        .map_err(|error| format!("Dockerfile: {error}"))?;
    let mut image = Image::default();
    let kept = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    for line in kept.replace("\\\n", "").lines().filter(|line| !line.trim().is_empty()) {
        let unknown = || format!("Dockerfile: this is not understood: {line}");
        let (instruction, rest) = line.split_once(' ').ok_or_else(unknown)?;
        let one = || Some(rest.to_owned()).filter(|rest| !rest.contains([' ', '[', '$', '"']));
        match instruction {
            "FROM" if rest == BASE => {}
            "RUN" | "COPY" => follow(&image, (instruction, rest))?,
            "ENV" if !rest.contains(['$', '"', '\'']) => {
                for pair in rest.split(' ') {
                    let (name, value) = pair.split_once('=').ok_or_else(unknown)?;
                    image.env.insert(name.to_owned(), value.to_owned());
                }
            }
            "USER" => image.user = Some(one().ok_or_else(unknown)?),
            "VOLUME" => image.volume = one().ok_or_else(unknown)?,
            "EXPOSE" => image.port = one().ok_or_else(unknown)?,
            "HEALTHCHECK" => {
                let (options, command) = rest.split_once("CMD ").ok_or_else(unknown)?;
                if !options.split_whitespace().all(|option| option.starts_with("--")) {
                    return Err(unknown());
                }
                image.health = command.to_owned();
            }
            "ENTRYPOINT" => {
                let program = rest.strip_prefix("[\"").and_then(|rest| rest.strip_suffix("\"]"));
                let program = program.filter(|program| !program.contains('"'));
                image.entrypoint = program.ok_or_else(unknown)?.to_owned();
            }
            _ => return Err(unknown()),
        }
    }
    let said = |name: &str| image.env.get(name).map(String::as_str).unwrap_or_default();
    if said("HUBBUB_DATA") != image.volume {
        return Err("Dockerfile: HUBBUB_DATA is not the VOLUME".to_owned());
    }
    if said("HUBBUB_LISTEN").rsplit(':').next() != Some(&image.port) {
        return Err("Dockerfile: HUBBUB_LISTEN is not what it EXPOSEs".to_owned());
    }
    let is_other = |id: &str| id.parse::<u32>().is_ok_and(|id| id != 0);
    if !image.user.as_deref().is_some_and(|user| user.split(':').all(is_other)) {
        return Err("Dockerfile: its USER is root, or not a number".to_owned());
    }
    Ok(image)
}

/// Does one step of the build.
fn follow(debian: &Debian, image: &Image, (instruction, rest): (&str, &str)) -> Result {
    if instruction == "RUN" {
        let mut shell = debian.command(image.user.as_deref(), "/bin/sh");
        return output(shell.envs(&image.env).args(["-c", rest])).map(drop);
    }
    let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap_or_default();
    let (from, to) = rest.split_once(' ').unwrap_or_default();
    if !ignored.lines().any(|line| line.strip_prefix('!') == Some(from)) {
        return Err(format!("Dockerfile: .dockerignore does not let `{from}` through"));
    }
    fs::copy(root().join(from), debian.path(to))
        .map(drop)
        .map_err(|error| format!("Dockerfile: COPY {rest}: {error}"))
}
