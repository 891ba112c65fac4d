//! `orca history`.

use api::image::{HistoryRequest, HistoryStep};
use clap::Args;
use model::Timestamp;
use serde_json::{Value, json};

use crate::client::{Client, Host};
use crate::clock;
use crate::error::Result;
use crate::output::format::{self, Format};
use crate::output::human;
use crate::output::table::Table;

/// Characters of CREATED BY unless told not to shorten.
const CREATED_BY_MAX: usize = 45;

/// Arguments of `orca history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Sizes and times for people; =false for bytes and dates
    #[arg(short = 'H', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    human: bool,
    /// table or json
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
    /// Only if the image is of this platform
    #[arg(long)]
    platform: Option<String>,
    /// An image
    image: String,
}

/// Shows how an image was made, the last step first.
pub async fn history(host: &Host, args: HistoryArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let request = HistoryRequest { image: args.image.clone(), platform: args.platform.clone() };
    let steps = client.images.history(request).await?.into_inner().steps;
    let now = clock::now();
    let ids = args.quiet.then(|| steps.iter().map(|step| args.id(step)).collect());
    let json = || steps.iter().map(|step| args.describe(step, now)).collect();
    let table = || {
        let created = if args.human { "CREATED" } else { "CREATED AT" };
        let mut table = Table::new(&["IMAGE", created, "CREATED BY", "SIZE", "COMMENT"]);
        for step in &steps {
            let cells = [args.id(step), args.created(step, now), args.created_by(step), args.size(step)];
            let [id, created, by, size] = cells;
            table.row([id, created, by, size, step.comment.clone()]);
        }
        table
    };
    format::print(args.format.clone(), ids, json, table)
}

impl HistoryArgs {
    fn id(&self, step: &HistoryStep) -> String {
        match &step.id {
            None => "<missing>".into(),
            Some(id) if self.no_trunc => id.clone(),
            Some(id) => id.trim_start_matches("sha256:").chars().take(12).collect(),
        }
    }

    fn created(&self, step: &HistoryStep, now: Timestamp) -> String {
        let created = Timestamp(step.created_at);
        match (step.created_at, self.human) {
            (0, true) => "N/A".into(),
            (_, true) => human::ago(created, now),
            (_, false) => created.to_rfc3339(),
        }
    }

    fn created_by(&self, step: &HistoryStep) -> String {
        let text = step.created_by.replace('\t', " ");
        if self.no_trunc || text.chars().count() <= CREATED_BY_MAX {
            return text;
        }
        text.chars().take(CREATED_BY_MAX - 1).chain(['…']).collect()
    }

    fn size(&self, step: &HistoryStep) -> String {
        if self.human { human::size(step.size) } else { step.size.to_string() }
    }

    fn describe(&self, step: &HistoryStep, now: Timestamp) -> Value {
        json!({
            "Comment": step.comment,
            "CreatedAt": Timestamp(step.created_at).to_rfc3339(),
            "CreatedBy": self.created_by(step),
            "CreatedSince": human::ago(Timestamp(step.created_at), now),
            "ID": self.id(step),
            "Size": self.size(step),
        })
    }
}
