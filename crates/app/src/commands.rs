//! What the binary can be told to do.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use toml::Value;

use crate::config::{Config, Layers, LogFormat};
use crate::{data, log, manual, reference, serve};

/// Webhooks in both directions and the automation between them
#[derive(Debug, clap::Parser)]
#[command(
    name = "posthaste",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them in a process"
)]
enum Command {
    Serve(ServeArgs),
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(subcommand)]
    Db(DbCommand),
    /// Print the description of the API, as OpenAPI 3.1
    Openapi,
    /// Print what completes commands in a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command
    #[command(after_help = "Example:\n  posthaste man /usr/local/share/man/man1")]
    Man {
        /// The directory to write them to; it is made if it is not there
        dir: PathBuf,
    },
    /// Print the version
    Version {
        /// What to print
        #[arg(short, long, value_enum, default_value_t)]
        output: VersionFormat,
    },
    /// Explain a command
    Help {
        /// Which command, word by word
        command: Vec<String>,
        /// Explain all commands
        #[arg(long, conflicts_with = "command")]
        all: bool,
    },
    #[command(flatten)]
    Client(cli::Command),
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum VersionFormat {
    /// One line
    #[default]
    Text,
    /// One JSON value
    Json,
}

/// Run the server
///
/// Settings come from defaults, then the file, then variables such as
/// POSTHASTE__DELIVERY__TIMEOUT=30s, then these flags. `posthaste config show` prints them all
/// with where each came from.
#[derive(Debug, clap::Args)]
struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The first admin key, instead of a generated one
    #[arg(
        long,
        env = "POSTHASTE_ADMIN_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    admin_key: Option<cli::Hidden>,
}

/// Where settings come from.
#[derive(Debug, clap::Args)]
struct SettingsArgs {
    /// A TOML file of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8411]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The directory of the database and its key file [default: posthaste-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Allow endpoints on private and loopback addresses, and http://
    #[arg(long)]
    allow_private: bool,
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Look at the settings
#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Print every setting with its value and where it came from
    Show(SettingsArgs),
}

/// Copy the database and its key
#[derive(Debug, clap::Subcommand)]
enum DbCommand {
    /// Copy the database to FILE and its key to FILE.key, while the server runs
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Put a backup (FILE and FILE.key) into an empty data directory
    Restore {
        /// The file that `db backup` wrote
        file: PathBuf,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

impl SettingsArgs {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    fn read(self) -> anyhow::Result<(Layers, Config)> {
        let mut layers = Layers::default();
        if let Some(path) = &self.config {
            layers.file(path)?;
        }
        layers.environment(std::env::vars());
        if let Some(listen) = self.listen {
            layers.flag("--listen", "server", "listen", Value::String(listen));
        }
        if let Some(data) = self.data {
            let data = data.display().to_string();
            layers.flag("--data", "store", "data", Value::String(data));
        }
        if self.allow_private {
            layers.flag(
                "--allow-private",
                "egress",
                "allow_private",
                Value::Boolean(true),
            );
        }
        if let Some(format) = self.log_format {
            layers.flag("--log-format", "log", "format", Value::try_from(format)?);
        }
        let config = layers.read()?;
        Ok((layers, config))
    }
}

/// Runs what was asked for.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let result = match arguments.command {
        Command::Client(command) => return client(command),
        Command::Serve(args) => args.settings.read().and_then(|(_, config)| {
            log::start(&config.log)?;
            serve::run(&config, args.admin_key.map(|key| key.reveal().to_owned()))
        }),
        Command::Config(ConfigCommand::Show(settings)) => show(settings),
        Command::Db(DbCommand::Backup { file, settings }) => {
            settings.read().and_then(|(_, config)| {
                let has_key = data::backup(&config.store.data, &file)?;
                // Whoever restores it without the key has secrets that nothing opens.
                let key = if has_key {
                    "with its master key beside it"
                } else {
                    "without a key: the settings [secrets] give it, keep it with the backup"
                };
                say(&format!(
                    "Copied {} to {}, {key}",
                    config.store.data.display(),
                    file.display()
                ))
            })
        }
        Command::Db(DbCommand::Restore { file, settings }) => {
            settings.read().and_then(|(_, config)| {
                data::restore(&file, &config.store.data)?;
                say(&format!(
                    "Restored {} into {}",
                    file.display(),
                    config.store.data.display()
                ))
            })
        }
        Command::Openapi => say(api::openapi_json().trim_end()),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "posthaste", &mut script);
            say(String::from_utf8_lossy(&script).trim_end())
        }
        Command::Man { dir } => manual::write(&dir),
        Command::Version { output } => version(output),
        Command::Help { all: true, .. } => say(reference::markdown().trim_end()),
        Command::Help { command, .. } => return help(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn version(output: VersionFormat) -> anyhow::Result<()> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    match output {
        VersionFormat::Text => say(&format!("posthaste {VERSION}")),
        VersionFormat::Json => say(&format!(
            r#"{{"version":"{VERSION}","os":"{}","arch":"{}"}}"#,
            std::env::consts::OS,
            std::env::consts::ARCH
        )),
    }
}

/// Prints the long help of a command, as its `--help` does.
fn help(words: &[String]) -> ExitCode {
    let words = words.iter().map(String::as_str);
    let line = ["posthaste"].into_iter().chain(words).chain(["--help"]);
    let Err(shown) = Arguments::try_parse_from(line) else {
        return ExitCode::FAILURE; // `--help` never parses.
    };
    let _ = shown.print(); // Whoever closed the output does not want to know.
    ExitCode::from(u8::try_from(shown.exit_code()).unwrap_or(1))
}

fn client(command: cli::Command) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return ExitCode::FAILURE;
    };
    let mut streams = cli::Streams {
        input: &mut std::io::stdin(),
        out: &mut std::io::stdout(),
        err: &mut std::io::stderr(),
        around: surroundings(),
    };
    runtime.block_on(cli::run(command, &mut streams)).into()
}

fn surroundings() -> cli::Surroundings {
    let mut around = cli::Surroundings::of_process(|name| std::env::var_os(name));
    around.variable = Some(|name| std::env::var_os(name)?.into_string().ok());
    around
}

fn show(settings: SettingsArgs) -> anyhow::Result<()> {
    let (layers, config) = settings.read()?;
    let settings = layers.show(&config)?;
    let width = |length: fn(&crate::config::Setting) -> usize| {
        settings.iter().map(length).max().unwrap_or_default()
    };
    let (name, value) = (width(|s| s.name.len()), width(|s| s.value.len().min(40)));
    for setting in &settings {
        say(&format!(
            "{:name$}  {:value$}  {}",
            setting.name, setting.value, setting.origin
        ))?;
    }
    Ok(())
}

/// Writes a line to standard output; a reader that went away is no error.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
