//! `barge images --tree`: each image with the manifests of its index.

use barge_api_types::{ImageSummary, ManifestSummary, OciPlatform};
use barge_types::size::human_decimal_short;

use crate::format::short_id;

/// Whether images without a name are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnamed {
    Shown,
    Hidden,
}

/// A line: what it is, and figures, which the names above the last one do not have.
struct Line {
    head: String,
    figures: Option<[String; 4]>,
}

const HEADERS: [&str; 5] = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"];

/// Blanks between columns.
const GAP: &str = "   ";

/// The table.
pub(super) fn show(images: &[ImageSummary], unnamed: Unnamed) -> String {
    let groups: Vec<Vec<Line>> = images
        .iter()
        .filter(|image| unnamed == Unnamed::Shown || !names(image).is_empty())
        .map(lines)
        .collect();
    let heads = groups.iter().flatten().map(|line| line.head.chars().count());
    let head_width = heads.chain([HEADERS[0].len()]).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(|column| {
        let cells = groups.iter().flatten().filter_map(|line| line.figures.as_ref());
        let cells = cells.map(|figures| figures[column].chars().count());
        cells.chain([HEADERS[column + 1].len()]).max().unwrap_or(0)
    });
    let [_, id, usage, content, extra] = HEADERS;
    let mut text = set((head_width, widths), (HEADERS[0], [id, usage, content, extra]));
    let width = text.trim_end().chars().count();
    text.insert_str(0, &format!("{:>width$}\n\n", "Info →   U  In Use"));
    let is_spaced = groups.iter().any(|lines| lines.len() > 1);
    for lines in &groups {
        for line in lines {
            match &line.figures {
                Some(figures) => {
                    let figures = figures.each_ref().map(String::as_str);
                    text.push_str(&set((head_width, widths), (&line.head, figures)));
                }
                None => {
                    text.push_str(&line.head);
                    text.push('\n');
                }
            }
        }
        if is_spaced {
            text.push('\n');
        }
    }
    text
}

/// One line; numbers stand at the right of their columns.
fn set(
    (head_width, [id, usage, content, _]): (usize, [usize; 4]),
    (head, figures): (&str, [&str; 4]),
) -> String {
    let line = format!(
        "{head:head_width$}{GAP}{:id$}{GAP}{:>usage$}{GAP}{:>content$}{GAP}{}",
        figures[0], figures[1], figures[2], figures[3]
    );
    format!("{}\n", line.trim_end())
}

fn lines(image: &ImageSummary) -> Vec<Line> {
    let shown: Vec<&ManifestSummary> =
        image.manifests.iter().filter(|manifest| is_shown(manifest)).collect();
    let any_used = image.containers > 0 || shown.iter().any(|manifest| is_used(manifest));
    let content = image.manifests.iter().map(|manifest| manifest.size.content).sum();
    // Of one that was built here there is no archive yet: `save` or `push` makes it.
    let content = if image.manifests.is_empty() { "-".to_owned() } else { human(content) };
    let figures = [short_id(&image.id).to_owned(), human(image.size), content, mark(any_used)];
    let mut names = names(image);
    let last = names.pop().unwrap_or("<untagged>");
    let mut lines: Vec<Line> =
        names.into_iter().map(|name| Line { head: name.to_owned(), figures: None }).collect();
    lines.push(Line { head: last.to_owned(), figures: Some(figures) });
    for (position, manifest) in shown.iter().enumerate() {
        let branch = if position + 1 == shown.len() { "└─" } else { "├─" };
        let platform = manifest.image_data.as_ref().map(|image| platform(&image.platform));
        let head = platform.unwrap_or_else(|| manifest.kind.clone());
        lines.push(Line {
            head: format!("{branch} {head}"),
            figures: Some([
                short_id(&manifest.id).to_owned(),
                human(manifest.size.total),
                human(manifest.size.content),
                mark(is_used(manifest)),
            ]),
        });
    }
    lines
}

fn names(image: &ImageSummary) -> Vec<&str> {
    image.repo_tags.iter().map(String::as_str).filter(|tag| *tag != "<none>:<none>").collect()
}

/// What is said of an image is shown where it is here, too: it goes where the image goes.
fn is_shown(manifest: &ManifestSummary) -> bool {
    manifest.kind == "image" || (manifest.kind == "attestation" && manifest.available)
}

fn is_used(manifest: &ManifestSummary) -> bool {
    manifest.image_data.as_ref().is_some_and(|image| !image.containers.is_empty())
}

fn mark(is_used: bool) -> String {
    if is_used { "U".to_owned() } else { String::new() }
}

fn platform(platform: &OciPlatform) -> String {
    let OciPlatform { os, architecture, variant, .. } = platform;
    if variant.is_empty() {
        format!("{os}/{architecture}")
    } else {
        format!("{os}/{architecture}/{variant}")
    }
}

fn human(bytes: i64) -> String {
    human_decimal_short(u64::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use barge_api_types::{ManifestImage, ManifestSize};

    use super::*;

    fn manifest((architecture, variant): (&str, &str), containers: &[&str]) -> ManifestSummary {
        ManifestSummary {
            id: format!("sha256:{}", "a".repeat(64)),
            kind: "image".to_owned(),
            size: ManifestSize { content: 1_000_000, total: 3_500_000 },
            image_data: Some(ManifestImage {
                platform: OciPlatform {
                    os: "linux".to_owned(),
                    architecture: architecture.to_owned(),
                    variant: variant.to_owned(),
                    ..OciPlatform::default()
                },
                containers: containers.iter().map(|&id| id.to_owned()).collect(),
                ..ManifestImage::default()
            }),
            ..ManifestSummary::default()
        }
    }

    #[test]
    fn an_index_shows_its_platforms() {
        let own = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect();
        let images = [
            ImageSummary {
                id: format!("sha256:{}", "1".repeat(64)),
                repo_tags: own(&["multi:latest", "multi:1.0"]),
                size: 7_000_000,
                containers: -1,
                manifests: vec![
                    manifest(("amd64", ""), &["c"]),
                    manifest(("arm64", "v8"), &[]),
                    ManifestSummary {
                        kind: "attestation".to_owned(),
                        ..ManifestSummary::default()
                    },
                ],
                ..ImageSummary::default()
            },
            ImageSummary {
                id: format!("sha256:{}", "4".repeat(64)),
                repo_tags: own(&["plain:latest"]),
                size: 99_123_456,
                ..ImageSummary::default()
            },
            ImageSummary::default(),
        ];
        let shown = "                                                  Info →   U  In Use\n\n\
             IMAGE               ID             DISK USAGE   CONTENT SIZE   EXTRA\n\
             multi:latest\n\
             multi:1.0           111111111111          7MB            2MB   U\n\
             ├─ linux/amd64      aaaaaaaaaaaa        3.5MB            1MB   U\n\
             └─ linux/arm64/v8   aaaaaaaaaaaa        3.5MB            1MB\n\n\
             plain:latest        444444444444       99.1MB              -\n\n";
        assert_eq!(show(&images, Unnamed::Hidden), shown);
        assert!(show(&images, Unnamed::Shown).contains("<untagged>"));
    }
}
