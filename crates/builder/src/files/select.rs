//! Which files a `COPY` or `ADD` means: wildcards, `--parents`, `--exclude`.

use barge_archive::path;
use barge_dockerfile::glob::{Glob, has_wildcards};
use barge_dockerfile::ignore::Patterns;
use rustix::fs::{FileType, Stat};

use super::error::Result;
use super::resolve::{self, Last, Resolved};
use super::tree::{Tree, Visibility, visibility};

/// What an instruction asks for, variables expanded.
#[derive(Clone, Copy, Debug, Default)]
pub struct TransferRequest<'a> {
    /// The sources.
    pub sources: &'a [String],
    /// `--exclude`.
    pub exclude: &'a [String],
    /// `--parents`.
    pub parents: bool,
}

/// Files that were chosen.
#[derive(Debug)]
pub struct Selection {
    pub(super) tree: Tree,
    pub(super) roots: Vec<Root>,
    pub(super) exclude: Patterns,
    /// The instruction names several sources, whatever they have become.
    pub(super) has_several: bool,
}

/// Something that was chosen, with everything in it.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// Where it is, without links.
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) kind: FileType,
    /// What it is called at the destination, when that is a folder.
    pub(super) name: Vec<u8>,
    /// With `--parents`: how much of [`Self::path`] is the pivot, below of which folders are made again.
    pub(super) pivot: Option<usize>,
}

impl Root {
    /// Whether what is in it goes into the destination, and not it itself.
    pub(super) fn is_spilled(&self) -> bool {
        self.kind == FileType::Directory && self.pivot.is_none()
    }

    /// The path of something in it, as `--exclude` sees it.
    fn excluded_path(&self, below: &[u8]) -> Vec<u8> {
        match self.pivot {
            Some(_) => join(&self.name, below),
            None if self.kind == FileType::Directory => below.to_vec(),
            None => self.name.clone(),
        }
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if name.is_empty() { folder.to_vec() } else { path::join(folder, name) }
}

impl Tree {
    /// Finds what is asked for.
    ///
    /// # Errors
    /// A source that is not there; a wildcard that matches nothing is no error, as in BuildKit.
    pub fn select(&self, request: &TransferRequest<'_>) -> Result<Selection> {
        let exclude = Patterns::of_list(request.exclude.iter().map(String::as_str))?;
        let mut roots = Vec::new();
        for source in request.sources {
            let found = match request.parents {
                true => self.with_parents(source)?,
                false => self.plain(source)?,
            };
            roots.extend(found);
        }
        let has_several = request.sources.len() > 1;
        let mut selection =
            Selection { tree: self.clone(), roots: Vec::new(), exclude, has_several };
        for root in roots {
            if selection.shows(&root, b"", root.kind) != Visibility::Hidden {
                selection.roots.push(root);
            }
        }
        Ok(selection)
    }

    /// A source without `--parents`. Links that it names are followed.
    fn plain(&self, source: &str) -> Result<Vec<Root>> {
        if !is_wildcard(source) {
            let resolved = resolve::resolve(self.root(), source.as_bytes(), Last::Followed)?;
            let name = last_part(source.as_bytes());
            return self.root_of(resolved, name, source).map(|root| vec![root]);
        }
        let (fixed, pattern) = split(source);
        let base = resolve::resolve(self.root(), fixed.as_bytes(), Last::Followed)?;
        let mut roots = Vec::new();
        for found in self.expand(&base, &pattern)? {
            let name = path::split(&found).1.to_vec();
            let resolved = resolve::resolve(self.root(), &found, Last::Followed)?;
            // A link to nowhere is none of those that a wildcard means.
            if resolved.stat.is_some() {
                roots.push(self.root_of(resolved, name, source)?);
            }
        }
        Ok(roots)
    }

    /// A source with `--parents`: folders after the pivot `./` are made again at the destination.
    fn with_parents(&self, source: &str) -> Result<Vec<Root>> {
        let (pivot, rest) = match source.split_once("/./") {
            Some((pivot, rest)) => (pivot, rest),
            None => ("", source.strip_prefix("./").unwrap_or(source)),
        };
        let pivot = resolve::resolve(self.root(), pivot.as_bytes(), Last::Followed)?;
        let parts: Vec<&str> = rest.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.contains(&"..") {
            // Above the pivot there is nothing that could be made again.
            return Err(self.missing(source));
        }
        let mut roots: Vec<Root> = Vec::new();
        for found in self.expand(&pivot, &parts)? {
            let name = found.get(pivot.path.len()..).unwrap_or_default();
            let name = name.strip_prefix(b"/").unwrap_or(name).to_vec();
            if roots.iter().any(|root| is_below(&root.path, &found)) {
                continue;
            }
            let resolved = resolve::resolve(self.root(), &found, Last::Itself)?;
            let mut root = self.root_of(resolved, name, source)?;
            root.pivot = Some(pivot.path.len());
            roots.push(root);
        }
        if roots.is_empty() && !is_wildcard(rest) {
            return Err(self.missing(source));
        }
        Ok(roots)
    }

    fn root_of(&self, resolved: Resolved, name: Vec<u8>, source: &str) -> Result<Root> {
        let Resolved { path, stat: Some(stat) } = resolved else {
            return Err(self.missing(source));
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.visibility(&path, kind) == Visibility::Hidden {
            return Err(self.hidden(source));
        }
        Ok(Root { path, stat, kind, name, pivot: None })
    }

    /// The paths below a folder that parts of a pattern match, sorted. Links are not followed.
    fn expand(&self, base: &Resolved, parts: &[&str]) -> Result<Vec<Vec<u8>>> {
        if !base.is_folder() {
            return Ok(Vec::new());
        }
        // A part that is `**` may stand for nothing: the places in the pattern are a set.
        let mut globs = Vec::new();
        for part in parts {
            globs.push(if *part == "**" { None } else { Some(Glob::parse(part)?) });
        }
        let mut found = Vec::new();
        let mut left = vec![(base.path.clone(), after_any(&globs, vec![0]))];
        while let Some((folder, places)) = left.pop() {
            if places.contains(&globs.len()) {
                found.push(folder.clone());
            }
            if places.iter().all(|place| *place >= globs.len()) {
                continue;
            }
            let (_, children) = self.list(&folder)?;
            for child in children {
                let here = path::join(&folder, &child.name);
                if self.visibility(&here, child.kind) == Visibility::Hidden {
                    continue;
                }
                let places = step(&globs, &places, &String::from_utf8_lossy(&child.name));
                if places.is_empty() {
                    continue;
                }
                if child.kind == FileType::Directory {
                    left.push((here, places));
                } else if places.contains(&globs.len()) {
                    found.push(here);
                }
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// Adds the places that are reached by `**` standing for nothing.
fn after_any(globs: &[Option<Glob>], mut places: Vec<usize>) -> Vec<usize> {
    let mut at = 0;
    while let Some(place) = places.get(at).copied() {
        if let Some(None) = globs.get(place)
            && !places.contains(&(place + 1))
        {
            places.push(place + 1);
        }
        at += 1;
    }
    places
}

/// Where in the pattern one is after a name.
fn step(globs: &[Option<Glob>], places: &[usize], name: &str) -> Vec<usize> {
    let mut next = Vec::new();
    for place in places {
        match globs.get(*place) {
            None => {}
            Some(None) => next.push(*place),
            Some(Some(glob)) if glob.matches(name) => next.push(place + 1),
            Some(Some(_)) => {}
        }
    }
    next.sort_unstable();
    next.dedup();
    after_any(globs, next)
}

impl Selection {
    /// Whether nothing was chosen: a wildcard that matches nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// How something below of a root shows.
    pub(super) fn shows(&self, root: &Root, below: &[u8], kind: FileType) -> Visibility {
        if kind == FileType::Socket {
            return Visibility::Hidden;
        }
        self.tree.visibility(&join(&root.path, below), kind).and(|| match self.exclude.is_empty() {
            true => Visibility::Shown,
            false => visibility(&self.exclude, &root.excluded_path(below), kind),
        })
    }
}

/// A backslash alone is a letter of a name.
fn is_wildcard(source: &str) -> bool {
    has_wildcards(source) && source.contains(['*', '?', '['])
}

/// What is fixed of a pattern, and the parts from the first wildcard on.
fn split(source: &str) -> (String, Vec<&str>) {
    let parts: Vec<&str> = source.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let first = parts.iter().position(|part| is_wildcard(part)).unwrap_or(parts.len());
    let (fixed, pattern) = parts.split_at(first);
    (fixed.join("/"), pattern.to_vec())
}

fn last_part(source: &[u8]) -> Vec<u8> {
    let mut parts = source.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.next_back().unwrap_or_default().to_vec()
}

fn is_below(folder: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| folder.is_empty() || rest.is_empty() || rest.first() == Some(&b'/'))
}
