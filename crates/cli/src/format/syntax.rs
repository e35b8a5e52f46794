//! What a template's text becomes before it is run: field accesses and what is printed go through
//! functions of ours, since fields of Go's structs, Go's maps and Go's methods differ in what is
//! not there.

use gotmpl::parse::{
    ActionNode, BranchNode, CommandNode, Expr, ListNode, Node, PipeNode, Pos, SmolStr,
};

/// `__field receiver where "A" "B"`: what `receiver.A.B` is.
pub(super) const FIELD: &str = "__field";
/// The same, as text.
pub(super) const SHOW: &str = "__show";
/// The text of a value.
pub(super) const PRINT: &str = "__print";
/// `__label receiver "name"`: Docker's method `.Label "name"` of rows.
pub(super) const LABEL: &str = "__label";

/// A function that there is not, and its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undefined {
    pub(super) line: usize,
    pub(super) name: String,
}

type Result = std::result::Result<(), Undefined>;

/// Rewrites one template.
pub(super) struct Rewriter<'a> {
    /// Its text, for the columns in errors.
    pub(super) text: &'a str,
    /// Its name in errors.
    pub(super) name: &'static str,
    /// Whether a function is there.
    pub(super) is_known: &'a dyn Fn(&str) -> bool,
}

impl Rewriter<'_> {
    /// Rewrites all nodes of a list.
    pub(super) fn list(&self, list: &mut ListNode) -> Result {
        list.nodes.iter_mut().try_for_each(|node| self.node(node))
    }

    fn node(&self, node: &mut Node) -> Result {
        match node {
            Node::List(list) => self.list(list),
            Node::Action(action) => self.action(action),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => self.branch(branch),
            Node::Template(call) => call.pipe.iter_mut().try_for_each(|pipe| self.pipe(pipe)),
            Node::Define(define) => self.list(&mut define.body),
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => Ok(()),
        }
    }

    fn branch(&self, branch: &mut BranchNode) -> Result {
        self.pipe(&mut branch.pipe)?;
        self.list(&mut branch.body)?;
        branch.else_body.iter_mut().try_for_each(|list| self.list(list))
    }

    fn action(&self, action: &mut ActionNode) -> Result {
        let pipe = &mut action.pipe;
        self.pipe(pipe)?;
        // What is assigned is not printed.
        if !pipe.decl.is_empty() {
            return Ok(());
        }
        if let [command] = pipe.commands.as_mut_slice()
            && let [Expr::Pipe(_, inner)] = command.args.as_mut_slice()
            && let Some(first) = inner.commands.first_mut()
            && let Some(Expr::Identifier(_, name)) = first.args.first_mut()
            && name == FIELD
        {
            *name = SHOW.into();
            return Ok(());
        }
        let (pos, args) = (pipe.pos, vec![Expr::Identifier(pipe.pos, PRINT.into())]);
        pipe.commands.push(CommandNode { pos, args });
        Ok(())
    }

    fn pipe(&self, pipe: &mut PipeNode) -> Result {
        pipe.commands.iter_mut().try_for_each(|command| self.command(command))
    }

    fn command(&self, command: &mut CommandNode) -> Result {
        if command.args.len() > 1
            && let Some(receiver) = command.args.first().and_then(labels_receiver)
        {
            let pos = command.pos;
            let method = [Expr::Identifier(pos, LABEL.into()), receiver];
            command.args.splice(..1, method);
        }
        command.args.iter_mut().try_for_each(|expression| self.expression(expression))
    }

    fn expression(&self, expression: &mut Expr) -> Result {
        match expression {
            Expr::Identifier(pos, name) => {
                if !(self.is_known)(name) {
                    return Err(Undefined { line: pos.line, name: name.to_string() });
                }
            }
            Expr::Field(pos, names) => {
                let (pos, names) = (*pos, std::mem::take(names));
                *expression = self.access(pos, Expr::Dot(pos), ("", &names));
            }
            Expr::Variable(pos, variable, names) if !names.is_empty() => {
                let (pos, names) = (*pos, std::mem::take(names));
                let root = Expr::Variable(pos, variable.clone(), Vec::new());
                *expression = self.access(pos, root, (&variable.clone(), &names));
            }
            Expr::Pipe(_, pipe) => self.pipe(pipe)?,
            Expr::Chain(pos, inner, names) => {
                // A function's result: called by the command that it stands in.
                if matches!(**inner, Expr::Identifier(..)) {
                    return self.expression(inner);
                }
                self.expression(inner)?;
                let (pos, names) = (*pos, std::mem::take(names));
                let root = std::mem::replace(&mut **inner, Expr::Dot(pos));
                *expression = self.access(pos, root, ("", &names));
            }
            Expr::Variable(..)
            | Expr::Dot(_)
            | Expr::String(..)
            | Expr::Number(..)
            | Expr::Bool(..)
            | Expr::Nil(_) => {}
        }
        Ok(())
    }

    fn access(&self, pos: Pos, root: Expr, (variable, names): (&str, &[SmolStr])) -> Expr {
        let place = self.place(pos, variable, names);
        let mut args =
            vec![Expr::Identifier(pos, FIELD.into()), root, Expr::String(pos, place.into())];
        args.extend(names.iter().map(|name| Expr::String(pos, name.as_str().into())));
        let commands = vec![CommandNode { pos, args }];
        Expr::Pipe(pos, PipeNode { pos, decl: Vec::new(), commands, is_assign: false })
    }

    /// `template: :1:8: executing "" at <.State.Nope>`: Go counts a chain from its second name.
    fn place(&self, pos: Pos, variable: &str, names: &[SmolStr]) -> String {
        let before = self.text.get(..pos.offset).unwrap_or_default();
        let mut column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        if !variable.is_empty() {
            column += variable.len();
        } else if let [first, _, ..] = names {
            column += 1 + first.len();
        }
        let (line, name) = (pos.line, self.name);
        let chain = names.join(".");
        format!("template: {name}:{line}:{column}: executing {name:?} at <{variable}.{chain}>")
    }
}

/// `.` of `.Label`, `$row` of `$row.Label`.
fn labels_receiver(method: &Expr) -> Option<Expr> {
    match method {
        Expr::Field(pos, names) => match names.as_slice() {
            [name] if name == "Label" => Some(Expr::Dot(*pos)),
            _ => None,
        },
        Expr::Variable(pos, variable, names) => match names.as_slice() {
            [name] if name == "Label" => Some(Expr::Variable(*pos, variable.clone(), Vec::new())),
            _ => None,
        },
        Expr::Dot(_)
        | Expr::Identifier(..)
        | Expr::String(..)
        | Expr::Number(..)
        | Expr::Bool(..)
        | Expr::Nil(_)
        | Expr::Pipe(..)
        | Expr::Chain(..) => None,
    }
}
