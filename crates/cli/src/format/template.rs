//! Go templates for `--format`, with Docker's functions, on crate `gotmpl`: what is shown is a JSON
//! document, which for a template has Go's types again.

use std::sync::{Arc, Mutex, PoisonError};

use barge_client::ClientError;
use gotmpl::TemplateError;
use gotmpl::parse::Parser;

use super::document::Document;
use super::functions::{self, Fields, Shared};
use super::shapes;
use super::syntax::{Rewriter, Undefined};
use crate::error::{CliError, Result};

/// The name under which the template itself is kept beside those it defines; cannot be written.
const MAIN: &str = "\0main";

/// A parsed template.
pub(crate) struct Template {
    parsed: gotmpl::Template,
    /// The same for the headers of a table.
    headers: Option<gotmpl::Template>,
    document: Shared,
    text: String,
    purpose: Purpose,
}

/// What a template is for: decides what a field that is not there means, and the words of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One object as the daemon describes it.
    Object,
    /// A row of a listing, by the name that Go has for its type.
    Row(&'static str),
    /// A row of `ps`, which has other words for errors.
    Container,
    /// One of many objects that differ in their fields.
    Event,
    /// Something that is there once, by the name of the template and of Go's type.
    Only { name: &'static str, go_type: &'static str },
}

impl Purpose {
    fn fields(self) -> Fields {
        let none = |_: &str| None;
        match self {
            Self::Object => Fields { left_out: shapes::left_out, go_type: None },
            Self::Row(go_type) => Fields { left_out: none, go_type: Some(go_type) },
            Self::Container => {
                Fields { left_out: none, go_type: Some("*formatter.ContainerContext") }
            }
            Self::Event => {
                Fields { left_out: shapes::left_out_of_event, go_type: Some("*events.Message") }
            }
            Self::Only { go_type, .. } => {
                Fields { left_out: shapes::left_out, go_type: Some(go_type) }
            }
        }
    }

    /// What stands before an error in the text, and the exit code.
    fn unparsed(self) -> (&'static str, u8) {
        match self {
            Self::Object | Self::Only { .. } => ("template parsing error", 64),
            Self::Row(_) => ("template parsing error", 1),
            Self::Container => ("failed to parse template", 1),
            Self::Event => ("Error parsing format", 64),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Only { name, .. } => name,
            Self::Object | Self::Row(_) | Self::Container | Self::Event => "",
        }
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("text", &self.text).finish_non_exhaustive()
    }
}

impl Template {
    /// Parses the text of a `--format`; `\t` and `\n` stand for the characters.
    pub(crate) fn parse(text: &str, purpose: Purpose) -> Result<Self> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        let document: Shared = Arc::new(Mutex::new(Document::default()));
        let empty = functions::for_values(gotmpl::Template::new(""), &document, purpose.fields());
        let parsed = parse(empty, &text, purpose)?;
        Ok(Self { parsed, headers: None, document, text, purpose })
    }

    /// The same for the rows of a table.
    pub(crate) fn parse_table(text: &str, purpose: Purpose) -> Result<Self> {
        let mut template = Self::parse(text, purpose)?;
        let empty = functions::for_headers(gotmpl::Template::new(""));
        template.headers = Some(parse(empty, &template.text, purpose)?);
        Ok(template)
    }

    /// The headers of a table. As in Docker, they end where the template does not fit them.
    pub(crate) fn execute_headers(&self, headers: &serde_json::Value) -> Result<String> {
        let mut text = String::new();
        if let Some(template) = &self.headers {
            let value = self.value(&headers.to_string())?;
            template.execute_template_fmt(&mut text, MAIN, &value).ok();
        }
        Ok(text)
    }

    /// The text for one value.
    pub(crate) fn execute(&self, value: &serde_json::Value) -> Result<String> {
        self.execute_text(&value.to_string())
    }

    /// The text for a document; `json` keeps the order of its fields.
    pub(crate) fn execute_text(&self, document: &str) -> Result<String> {
        let value = self.value(document)?;
        self.parsed.execute_template_to_string(MAIN, &value).map_err(|error| self.refused(&error))
    }

    fn value(&self, document: &str) -> Result<gotmpl::Value> {
        let value = self.document.lock().unwrap_or_else(PoisonError::into_inner).parse(document);
        value
            .map_err(|source| ClientError::Decode { what: "answer", source })
            .map_err(CliError::Client)
    }

    /// In Go's words; scripts look for them.
    fn refused(&self, error: &TemplateError) -> CliError {
        let text = if let TemplateError::Exec(text) = error
            && text.starts_with("template: ")
        {
            text.clone()
        } else {
            error.to_string()
        };
        let (context, code) = match self.purpose {
            Purpose::Object | Purpose::Row(_) => ("template parsing error", 1),
            Purpose::Container => ("failed to execute template", 1),
            Purpose::Event => ("Error parsing format", 64),
            Purpose::Only { .. } => return CliError::Invalid(text),
        };
        CliError::Template { context, text, code }
    }
}

/// Parses into a template that has its functions.
fn parse(empty: gotmpl::Template, text: &str, purpose: Purpose) -> Result<gotmpl::Template> {
    let name = purpose.name();
    let (context, code) = purpose.unparsed();
    let refused = |text: String| CliError::Template { context, text, code };
    let parsed = Parser::new(text, "{{", "}}").and_then(Parser::parse);
    let (mut tree, mut defines) = parsed.map_err(|error| {
        // Go tells the line, not the column.
        refused(
            if let TemplateError::Parse { line, message, .. }
            | TemplateError::Lex { line, message, .. } = &error
            {
                format!("template: {name}:{line}: {message}")
            } else {
                error.to_string()
            },
        )
    })?;
    let rewriter = Rewriter { text, name, is_known: &functions::is_known };
    let trees = std::iter::once(&mut tree).chain(defines.iter_mut().map(|define| &mut define.body));
    for tree in trees {
        rewriter.list(tree).map_err(|Undefined { line, name: function }| {
            refused(format!("template: {name}:{line}: function {function:?} not defined"))
        })?;
    }
    let mut template = empty.add_parse_tree(MAIN, tree);
    for define in defines {
        template = template.add_parse_tree(&define.name, define.body);
    }
    Ok(template)
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped.
pub(crate) fn go_json(value: &serde_json::Value) -> String {
    go_escaped(&value.to_string())
}

/// JSON with the characters escaped that Go's encoder escapes.
pub(crate) fn go_escaped(text: &str) -> String {
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(template: &str) -> String {
        let value = r#"{"Name":"/web","State":{"Running":true,"Pid":42},"Tags":["a","b"],
            "Labels":{"x.y":"z","k":"v"},"Cmd":null,"Ports":{"80/tcp":null},"OomKillDisable":null,
            "Id":"1"}"#;
        let parsed = Template::parse(template, Purpose::Object);
        match parsed.and_then(|parsed| parsed.execute_text(value)) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn templates_read_as_in_docker() {
        for (template, text) in [
            ("{{.Name}}", "/web"),
            ("{{.State.Running}} {{.State.Pid}}", "true 42"),
            ("{{json .State}}", r#"{"Running":true,"Pid":42}"#),
            ("{{json .Tags}}", r#"["a","b"]"#),
            ("{{range .Tags}}{{.}};{{end}}", "a;b;"),
            ("{{index .Labels \"x.y\"}}", "z"),
            ("{{upper .Name}} {{lower \"AB\"}} {{title \"two words\"}}", "/WEB ab Two Words"),
            ("{{join .Tags \",\"}}", "a,b"),
            ("{{split \"a:b\" \":\"}}", "[a b]"),
            ("{{pad \"x\" 1 2}}|{{pad \"\" 1 2}}|", " x  ||"),
            ("{{truncate \"long\" 2}}", "lo"),
            ("a\\tb\\n", "a\tb\n"),
            ("{{len .Tags}}{{println .Name}}", "2/web\n"),
            ("{{if .Cmd}}y{{else}}n{{end}}", "n"),
            ("{{json \"<&>\"}}", "\"\\u003c\\u0026\\u003e\""),
            ("{{.Name | upper | printf \"%s!\"}}", "/WEB!"),
            ("{{$x := .State}}{{$x.Pid}}{{with $x}}{{.Running}}{{$.Name}}{{end}}", "42true/web"),
            (
                "{{(index .Tags 1)}}{{define \"T\"}}<{{.Pid}}>{{end}}{{template \"T\" .State}}",
                "b<42>",
            ),
            (
                "{{and .Cmd .Name}}{{or .Cmd .Name}}{{not .Cmd}}{{eq .Name \"/web\"}}",
                "[]/webtruetrue",
            ),
            ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "k=v x.y=z "),
        ] {
            assert_eq!(show(template), text, "{template}");
        }
    }

    #[test]
    fn what_is_not_there_is_what_go_has_instead() {
        for (template, text) in [
            (
                "{{.Labels.nope}}|{{index .Labels \"nope\"}}|{{.Labels}}",
                "<no value>||map[k:v x.y:z]",
            ),
            (
                "{{.State}} {{.Cmd}} {{.Ports}} {{.OomKillDisable}}",
                "{true 42} [] map[80/tcp:[]] <nil>",
            ),
            ("{{json .Cmd}} {{json .Ports}}", "null {\"80/tcp\":null}"),
            ("{{if .State.Health}}y{{end}}{{.State.Health}}", "<nil>"),
            ("{{.ID}} {{with .Labels}}{{.nope}}{{end}}", "1 <no value>"),
        ] {
            assert_eq!(show(template), text, "{template}");
        }
    }

    #[test]
    fn fields_stay_in_the_documents_order() {
        let template = Template::parse("{{json .State}} {{json .}}", Purpose::Object).unwrap();
        let text = r#"{"State":{"Running":true,"Pid":42},"Args":[]}"#;
        assert_eq!(
            template.execute_text(text).unwrap(),
            format!(r#"{{"Running":true,"Pid":42}} {text}"#)
        );
    }

    #[test]
    fn wrong_templates_are_refused_in_gos_words() {
        assert_eq!(
            show("{{.Name}} {{.Nope}}"),
            "template parsing error: template: :1:12: executing \"\" at <.Nope>: map has no entry for key \"Nope\""
        );
        assert_eq!(
            show("{{.State.Nope}}"),
            "template parsing error: template: :1:8: executing \"\" at <.State.Nope>: map has no entry for key \"Nope\""
        );
        assert_eq!(show("{{"), "template parsing error: template: :1: unclosed action");
        assert_eq!(
            show("{{nope .}}"),
            "template parsing error: template: :1: function \"nope\" not defined"
        );
        let row = Template::parse("{{.Nope}}", Purpose::Container).unwrap();
        assert_eq!(
            row.execute(&json!({})).unwrap_err().to_string(),
            "failed to execute template: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.ContainerContext"
        );
    }

    #[test]
    fn headers_stay_as_they_are() {
        let headers = json!({ "Names": "NAMES", "Labels": "LABELS" });
        for (template, text) in [
            ("{{lower .Names}}\t{{.Label \"com.example.some-thing\"}}", "NAMES\tsome thing"),
            ("{{.Names}} {{range split .Labels \",\"}}<{{.}}>{{end}}", "NAMES "),
            ("{{json .}} {{.Names}}", ""),
        ] {
            let template = Template::parse_table(template, Purpose::Row("x")).unwrap();
            assert_eq!(template.execute_headers(&headers).unwrap(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_template_makes_it_fall_over(text in "(\\{\\{|\\}\\}|[a-z.$ |\"(]|\\.Label|json|range|end){0,12}") {
            if let Ok(template) = Template::parse_table(&text, Purpose::Container) {
                template.execute_headers(&json!({ "a": "A" })).ok();
                template.execute(&json!({ "a": ["A"], "b": null })).ok();
            }
        }
    }
}
