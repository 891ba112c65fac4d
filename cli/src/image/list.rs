//! `orca images`.

use std::collections::BTreeMap;

use api::node::{Image, ListImagesRequest};
use clap::Args;
use model::Timestamp;
use serde_json::{Value as Json, json};

use crate::client::{Client, Host};
use crate::clock;
use crate::docker_config::DockerConfig;
use crate::error::{Error, Result};
use crate::filter::{Filters, glob};
use crate::output::format::{self, Format, Listing};
use crate::output::human;
use template::Value;

/// Arguments of `orca images`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Also images without a name
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Only images that fit, such as dangling=true or reference=PATTERN
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, value_parser = format::parse)]
    format: Option<Format>,
    /// Only images of this name, or that fit this pattern
    reference: Option<String>,
}

const KEYS: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];
const HEADERS: &[(&str, &str)] = &[("ID", "IMAGE ID"), ("CreatedSince", "CREATED")];
const KIND: &str = "*formatter.imageContext";
const PLAIN: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const DIGESTS: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

struct Row<'a> {
    image: &'a Image,
    repository: String,
    tag: String,
    digest: String,
}

/// Lists images, one row a name.
pub async fn list(host: &Host, args: ListArgs) -> Result<()> {
    let filters = Filters::parse(&args.filter, KEYS)?;
    let format = match args.format {
        Some(format) => format,
        None => format::configured(DockerConfig::read().images_format.filter(|_| !args.quiet))?,
    };
    let now = clock::now();
    let mut client = Client::connect(host).await?;
    let is_pattern = args.reference.as_deref().is_some_and(|text| text.contains(['*', '?', '[']));
    let (reference, pattern) = if is_pattern { (None, args.reference) } else { (args.reference, None) };
    let request = ListImagesRequest { all: true, reference };
    let mut images = client.node.list_images(request).await?.into_inner().images;
    images.sort_by_key(|image| std::cmp::Reverse(image.created_at));
    let images = select(images, &filters, now)?;
    // A row has a digest of its own only where that is asked for: two registries may have given one tag two of them.
    let with_digests = args.digests || format.mentions(".Digest");
    let mut rows: Vec<Row<'_>> = images.iter().flat_map(|image| rows(image, with_digests)).collect();
    rows.retain(|row| fits_name(row, pattern.as_deref(), &filters));
    let values: Vec<Value> = rows.iter().map(|row| value(row, now, args.no_trunc)).collect();
    if args.quiet && matches!(format, Format::Table | Format::Columns(_)) {
        let mut ids: Vec<String> = rows.iter().map(|row| short(&row.image.id, args.no_trunc)).collect();
        ids.dedup();
        return format::write(&ids.into_iter().map(|id| id + "\n").collect::<String>());
    }
    let columns = if args.digests { DIGESTS } else { PLAIN };
    Listing { kind: KIND, headers: HEADERS, columns }.print(&format, &values)
}

/// The images that fit what does not depend on their names.
fn select(images: Vec<Image>, filters: &Filters, now: Timestamp) -> Result<Vec<Image>> {
    let dangling = filters.switch("dangling")?;
    let before = moment(&images, filters, "before")?;
    let since = moment(&images, filters, "since")?;
    let until = filters.values("until").last().map(|text| {
        clock::parse(text, now).map_err(|reason| Error::Flag {
            flag: "--filter",
            value: format!("until={text}"),
            reason,
        })
    });
    let until = until.transpose()?;
    let fits = |image: &Image| {
        dangling.is_none_or(|wanted| image.references.is_empty() == wanted)
            && before.is_none_or(|moment| image.created_at < moment)
            && since.is_none_or(|moment| image.created_at > moment)
            && until.is_none_or(|moment| image.created_at < moment.0)
            && filters.fits_labels(&labels(image))
    };
    Ok(images.into_iter().filter(fits).collect())
}

/// When the image that a filter names was made.
fn moment(images: &[Image], filters: &Filters, key: &str) -> Result<Option<i64>> {
    let Some(name) = filters.values(key).last() else { return Ok(None) };
    let tagged = format!("{name}:latest");
    let bare = name.trim_start_matches("sha256:");
    let fits = |image: &&Image| {
        image.references.iter().chain(&image.digests).any(|own| own == name || *own == tagged)
            || (!bare.is_empty() && image.id.trim_start_matches("sha256:").starts_with(bare))
    };
    match images.iter().find(fits) {
        Some(image) => Ok(Some(image.created_at)),
        None => Err(Error::NotFound { kind: "image", name: name.to_owned() }),
    }
}

fn fits_name(row: &Row<'_>, pattern: Option<&str>, filters: &Filters) -> bool {
    let whole = format!("{}:{}", row.repository, row.tag);
    let fits = |pattern: &str| glob(pattern, &row.repository) || glob(pattern, &whole);
    pattern.is_none_or(fits) && filters.any("reference", fits)
}

fn labels(image: &Image) -> BTreeMap<String, String> {
    let document: Json = serde_json::from_str(&image.config_json).unwrap_or_default();
    let labels = document.pointer("/config/Labels").cloned().unwrap_or_default();
    serde_json::from_value(labels).unwrap_or_default()
}

fn rows(image: &Image, with_digests: bool) -> Vec<Row<'_>> {
    const NONE: &str = "<none>";
    let row = |repository: &str, tag: &str, digest: &str| Row {
        image,
        repository: repository.into(),
        tag: tag.into(),
        digest: digest.into(),
    };
    let digests: Vec<(&str, &str)> = image.digests.iter().filter_map(|own| own.split_once('@')).collect();
    let mut rows = Vec::new();
    for reference in &image.references {
        // A colon before the last slash belongs to a registry's port.
        let split = reference.rfind(':').filter(|at| !reference[*at..].contains('/'));
        let (repository, tag) = split.map_or((reference.as_str(), NONE), |at| (&reference[..at], &reference[at + 1..]));
        let own: Vec<&str> =
            digests.iter().filter(|(name, _)| *name == repository).map(|(_, digest)| *digest).collect();
        if own.is_empty() || !with_digests {
            rows.push(row(repository, tag, NONE));
        } else {
            rows.extend(own.into_iter().map(|digest| row(repository, tag, digest)));
        }
    }
    let is_tagged = |name: &str| rows.iter().any(|row: &Row<'_>| row.repository == name);
    let untagged: Vec<(&str, &str)> = digests.into_iter().filter(|(name, _)| !is_tagged(name)).collect();
    rows.extend(untagged.into_iter().map(|(name, digest)| row(name, NONE, if with_digests { digest } else { NONE })));
    if rows.is_empty() { vec![row(NONE, NONE, NONE)] } else { rows }
}

fn short(id: &str, whole: bool) -> String {
    if whole { id.into() } else { id.trim_start_matches("sha256:").chars().take(12).collect() }
}

fn value(row: &Row<'_>, now: Timestamp, whole: bool) -> Value {
    let created = Timestamp(row.image.created_at);
    Value::from(&json!({
        "Containers": row.image.containers.to_string(),
        "CreatedAt": clock::docker_time(created),
        "CreatedSince": human::ago(created, now),
        "Digest": row.digest,
        "ID": short(&row.image.id, whole),
        "Repository": row.repository,
        "SharedSize": "N/A",
        "Size": human::size(row.image.size),
        "Tag": row.tag,
        "UniqueSize": "N/A",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            id: "sha256:0123456789abcdef".into(),
            references: vec!["box:1".into(), "localhost:5000/box:2".into()],
            digests: vec!["localhost:5000/box@sha256:aa".into(), "other@sha256:bb".into()],
            config_json: r#"{"config":{"Labels":{"a":"b"}}}"#.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_row_for_each_name() {
        let image = image();
        let names = |digests| {
            let rows = rows(&image, digests).into_iter();
            rows.map(|row| format!("{} {} {}", row.repository, row.tag, row.digest)).collect::<Vec<_>>()
        };
        assert_eq!(names(false), ["box 1 <none>", "localhost:5000/box 2 <none>", "other <none> <none>"]);
        assert_eq!(names(true)[1..], ["localhost:5000/box 2 sha256:aa", "other <none> sha256:bb"]);
        assert_eq!(rows(&Image::default(), false)[0].repository, "<none>");
    }

    #[test]
    fn filters_of_images() {
        let fits = |pairs: &[&str]| {
            let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
            let filters = Filters::parse(&pairs, KEYS).unwrap();
            let chosen = select(vec![image()], &filters, Timestamp(10)).unwrap();
            chosen.iter().flat_map(|image| rows(image, false)).filter(|row| fits_name(row, None, &filters)).count()
        };
        assert_eq!(fits(&[]), 3);
        assert_eq!(fits(&["dangling=true"]), 0);
        assert_eq!(fits(&["label=a=b"]), 3);
        assert_eq!(fits(&["label=c"]), 0);
        assert_eq!(fits(&["reference=box:*"]), 1);
        assert_eq!(fits(&["reference=localhost:5000/*"]), 1);
        assert_eq!(fits(&["before=box:1"]), 0);
    }
}
