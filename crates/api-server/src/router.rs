//! Which handler a method and path belong to.
//!
//! Own, because Docker's paths have their wildcard in the middle and it takes slashes (`/images/{name:.*}/json` for
//! `localhost:5000/a/b`), which the routers of the ecosystem allow only at the end. The first pattern that fits wins; a
//! path that fits with another method only is not found, as in dockerd.

use futures_util::future::BoxFuture;
use http::Method;

use crate::call::Call;
use crate::reply::Reply;
use crate::status::ApiError;

/// A handler, its future boxed.
pub(crate) type Handler<S> =
    Box<dyn Fn(Call<S>) -> BoxFuture<'static, Result<Reply, ApiError>> + Send + Sync>;

struct Route<S> {
    method: Method,
    pattern: Pattern,
    handler: Handler<S>,
}

/// The table of routes.
pub(crate) struct Router<S> {
    routes: Vec<Route<S>>,
}

impl<S> Default for Router<S> {
    fn default() -> Self {
        Self { routes: Vec::new() }
    }
}

impl<S: 'static> Router<S> {
    /// Adds a route; at most one `{…}` in the pattern.
    pub(crate) fn add<F, Fut>(&mut self, method: Method, pattern: &'static str, handler: F)
    where
        F: Fn(Call<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        let handler: Handler<S> = Box::new(move |call| Box::pin(handler(call)));
        self.routes.push(Route { method, pattern: Pattern::new(pattern), handler });
    }

    pub(crate) fn get<F, Fut>(&mut self, pattern: &'static str, handler: F)
    where
        F: Fn(Call<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        self.add(Method::GET, pattern, handler);
    }

    pub(crate) fn post<F, Fut>(&mut self, pattern: &'static str, handler: F)
    where
        F: Fn(Call<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        self.add(Method::POST, pattern, handler);
    }

    pub(crate) fn delete<F, Fut>(&mut self, pattern: &'static str, handler: F)
    where
        F: Fn(Call<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        self.add(Method::DELETE, pattern, handler);
    }

    /// The handler for a request and what the wildcard stands for.
    pub(crate) fn find<'r, 'p>(
        &'r self,
        method: &Method,
        path: &'p str,
    ) -> Option<(&'r Handler<S>, &'p str)> {
        self.routes
            .iter()
            .filter(|route| route.method == method)
            .find_map(|route| route.pattern.matches(path).map(|name| (&route.handler, name)))
    }

    /// Method and pattern of each route, in their order.
    #[cfg(test)]
    pub(crate) fn table(&self) -> Vec<(&Method, String)> {
        let text = |pattern: &Pattern| match pattern.after {
            Some(after) => format!("{}{{name}}{after}", pattern.before),
            None => pattern.before.to_owned(),
        };
        self.routes.iter().map(|route| (&route.method, text(&route.pattern))).collect()
    }

    /// Which route of the table answers.
    #[cfg(test)]
    pub(crate) fn position(&self, method: &Method, path: &str) -> Option<usize> {
        let fits =
            |route: &Route<S>| route.method == method && route.pattern.matches(path).is_some();
        self.routes.iter().position(fits)
    }
}

/// `/images/{name}/json` as the text before and after its wildcard.
struct Pattern {
    before: &'static str,
    after: Option<&'static str>,
}

impl Pattern {
    fn new(text: &'static str) -> Self {
        match text
            .split_once('{')
            .and_then(|(before, rest)| Some((before, rest.split_once('}')?.1)))
        {
            Some((before, after)) => Self { before, after: Some(after) },
            None => Self { before: text, after: None },
        }
    }

    /// What the wildcard stands for (nothing without one), when the path fits.
    fn matches<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.before)?;
        match self.after {
            None => rest.is_empty().then_some(""),
            Some(after) => rest.strip_suffix(after).filter(|name| !name.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_in_the_middle_takes_slashes() {
        let pattern = Pattern::new("/images/{name}/json");
        assert_eq!(pattern.matches("/images/localhost:5000/a/b/json"), Some("localhost:5000/a/b"));
        assert_eq!(pattern.matches("/images/json/json"), Some("json"));
        assert_eq!(pattern.matches("/images/json"), None);
        assert_eq!(pattern.matches("/images//json"), None);
        assert_eq!(pattern.matches("/images/x/history"), None);
    }

    #[test]
    fn wildcard_at_the_end_needs_something() {
        let pattern = Pattern::new("/images/{name}");
        assert_eq!(pattern.matches("/images/a/b"), Some("a/b"));
        assert_eq!(pattern.matches("/images/"), None);
    }

    #[test]
    fn path_without_wildcard_is_compared_whole() {
        let pattern = Pattern::new("/info");
        assert_eq!(pattern.matches("/info"), Some(""));
        assert_eq!(pattern.matches("/info/"), None);
        assert_eq!(pattern.matches("/inf"), None);
    }
}
