//! `orca login` and `orca logout`.

use std::io::{BufRead, Read, Write};

use api::image::LoginRequest;
use clap::Args;
use image::registry::Credentials;
use image::registry::login::LoggedOut;

use super::{logins, wire};
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::{output::format, terminal};

/// Docker's own registry, under all the names that people give it.
const DOCKER_HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"];
/// Longest password from standard input.
const PASSWORD_MAX: u64 = 64 << 10;

/// Arguments of `orca login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// User name
    #[arg(short, long)]
    username: Option<String>,
    /// Password or token; others on this machine can see it while the command runs
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Registry; docker.io if none is given
    server: Option<String>,
}

/// Arguments of `orca logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// Registry; docker.io if none is given
    server: Option<String>,
}

/// Asks the registry whether it knows the user, and keeps the credentials if so.
pub async fn login(host: &Host, args: LoginArgs) -> Result<()> {
    let domain = domain(args.server.as_deref())?;
    let logins = logins()?;
    if args.password.is_some() {
        eprintln!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    // Who is logged in need not say it again.
    let known = logins.get(&domain)?.filter(|_| args.username.is_none() && args.password.is_none());
    let mut client = Client::connect_or_start(host).await?;
    if let Some(credentials) = known {
        let request = LoginRequest { registry: domain.clone(), credentials: Some(wire(credentials)) };
        if client.images.login(request).await.is_ok() {
            eprintln!("Authenticating with existing credentials...");
            return format::write("Login Succeeded\n");
        }
    }
    let username = match args.username {
        Some(username) => username,
        None => ask("Username: ", false)?,
    };
    let password = match args.password {
        Some(password) => password,
        None if args.password_stdin => password_from_stdin()?,
        None => ask("Password: ", true)?,
    };
    if username.is_empty() || password.is_empty() {
        return Err(Error::Registry("a login needs a user name and a password".into()));
    }
    let mut credentials = Credentials::Password { username, password };
    let request = LoginRequest { registry: domain.clone(), credentials: Some(wire(credentials.clone())) };
    let reply = client.images.login(request).await?.into_inner();
    if let Some(token) = reply.identity_token.filter(|token| !token.is_empty()) {
        credentials = Credentials::IdentityToken(token);
    }
    if logins.set(&domain, &credentials)? {
        eprintln!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper (credsStore) to remove this warning.\n",
            logins.path().display()
        );
    }
    format::write("Login Succeeded\n")
}

/// Forgets a registry's credentials.
pub async fn logout(args: LogoutArgs) -> Result<()> {
    let domain = domain(args.server.as_deref())?;
    let logins = logins()?;
    match logins.erase(&domain)? {
        LoggedOut::Removed => format::write(&format!("Removing login credentials for {domain}\n")),
        LoggedOut::NotLoggedIn => format::write(&format!("Not logged in to {domain}\n")),
    }
}

/// The registry's host; people paste URLs.
fn domain(server: Option<&str>) -> Result<String> {
    let Some(server) = server.filter(|server| !server.is_empty()) else { return Ok("docker.io".into()) };
    let bare = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    let host = bare.split('/').next().unwrap_or_default();
    if DOCKER_HUB.contains(&host) {
        return Ok("docker.io".into());
    }
    // A registry is what a name of an image could begin with.
    match format!("{host}/x").parse::<image::Reference>() {
        Ok(name) if name.domain() == host => Ok(host.into()),
        _ => match format!("{host}:443/x").parse::<image::Reference>() {
            Ok(name) if !host.contains(':') && name.domain() == format!("{host}:443") => Ok(host.into()),
            _ => Err(Error::Registry(format!("{server:?} is no registry: expected HOST[:PORT]"))),
        },
    }
}

fn password_from_stdin() -> Result<String> {
    let mut password = String::new();
    let read = std::io::stdin().lock().take(PASSWORD_MAX).read_to_string(&mut password);
    read.map_err(|source| Error::Terminal { action: "read the password from standard input", source })?;
    let password = password.strip_suffix('\n').unwrap_or(&password);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}

fn ask(question: &str, secret: bool) -> Result<String> {
    let failed = |source| Error::Terminal { action: "ask for credentials", source };
    if !terminal::stdin_is_terminal() {
        return Err(Error::Unsupported {
            what: "an interactive login without a terminal".into(),
            instead: "use --username and --password-stdin".into(),
        });
    }
    std::io::stderr().write_all(question.as_bytes()).map_err(failed)?;
    let hidden = if secret { Some(terminal::HiddenInput::enter()?) } else { None };
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).map_err(failed);
    drop(hidden);
    if secret {
        eprintln!();
    }
    read?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host() {
        for (server, expected) in [
            (None, Some("docker.io")),
            (Some("https://index.docker.io/v1/"), Some("docker.io")),
            (Some("localhost:5000"), Some("localhost:5000")),
            (Some("https://r.example/v2/"), Some("r.example")),
            (Some("registry"), Some("registry")),
            (Some("[::1]:5000"), Some("[::1]:5000")),
            (Some("a b"), None),
            (Some("../x"), None),
        ] {
            assert_eq!(domain(server).ok().as_deref(), expected, "{server:?}");
        }
    }
}
