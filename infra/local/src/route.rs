//! The routes of an HTTP API.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// A method and a path template such as `/v1/as/users/{user_name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    method: String,
    path: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Static(String),
    Parameter(String),
}

impl Route {
    /// Reads a route of the template.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(method: &str, path: &str) -> Result<Self, String> {
        let method = method.to_ascii_uppercase();
        if !["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"].contains(&method.as_str()) {
            return Err(format!("routes with the method {method:?} are not understood"));
        }
        let segments = path.strip_prefix('/').ok_or_else(|| format!("the path {path:?} does not start with /"))?;
        let segments = segments.split('/').map(Segment::new).collect::<Result<_, _>>()?;
        Ok(Self { method, path: path.to_owned(), segments })
    }

    /// The route key, as in the event: method, space, path template.
    pub fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The values of the path's parameters if a request with this method and path, as sent, takes this route.
    pub fn matches(&self, method: &str, path: &str) -> Option<BTreeMap<String, String>> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        if method != self.method || segments.len() != self.segments.len() {
            return None;
        }
        let mut parameters = BTreeMap::new();
        for (segment, sent) in self.segments.iter().zip(segments) {
            let sent = percent_decode_str(sent).decode_utf8_lossy();
            match segment {
                Segment::Static(name) if *name == sent => {}
                Segment::Parameter(name) if !sent.is_empty() => {
                    parameters.insert(name.clone(), sent.into_owned());
                }
                Segment::Static(_) | Segment::Parameter(_) => return None,
            }
        }
        Some(parameters)
    }

    /// Orders routes that match the same path: API Gateway takes the most specific one.
    pub fn specificity(&self) -> Vec<bool> {
        self.segments.iter().map(|segment| matches!(segment, Segment::Static(_))).collect()
    }

    /// Whether both take the same requests, so that neither is more specific.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let same = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Static(a), Segment::Static(b)) => a == b,
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
            _ => false,
        };
        self.method == other.method
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(same)
    }
}

impl Segment {
    fn new(segment: &str) -> Result<Self, String> {
        let parameter = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.@".contains(c));
        match parameter {
            Some(name) if is_name(name) => Ok(Self::Parameter(name.to_owned())),
            None if is_name(segment) || segment.is_empty() => Ok(Self::Static(segment.to_owned())),
            _ => Err(format!("the path segment {segment:?} is not understood")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str) -> Route {
        Route::new(method, path).unwrap()
    }

    #[test]
    fn a_route_takes_its_own_method_and_path_only() {
        let route = route("GET", "/v1/as/users/{user_name}/identity");
        let parameters = route.matches("GET", "/v1/as/users/alice@localhost/identity").unwrap();
        assert_eq!(parameters["user_name"], "alice@localhost");
        for (method, path) in [
            ("POST", "/v1/as/users/alice/identity"),
            ("GET", "/v1/as/users/alice"),
            ("GET", "/v1/as/users/alice/identity/"),
            ("GET", "/v1/as/users//identity"),
            ("GET", "/v1/as/users/a/b/identity"),
            ("GET", "*"),
        ] {
            assert_eq!(route.matches(method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn an_encoded_path_takes_the_route_of_the_decoded_one() {
        let route = route("GET", "/users/{user_name}");
        assert_eq!(route.matches("GET", "/%75sers/alice%40localhost").unwrap()["user_name"], "alice@localhost");
        assert_eq!(route.matches("GET", "/users/a%2Fb").unwrap()["user_name"], "a/b");
    }

    #[test]
    fn a_static_segment_is_more_specific_than_a_parameter() {
        let by_name = route("GET", "/users/{user_name}");
        let own = route("GET", "/users/me");
        assert!(own.specificity() > by_name.specificity());
        assert!(by_name.is_same_as(&route("GET", "/users/{id}")));
        assert!(!by_name.is_same_as(&own));
    }

    #[test]
    fn routes_that_are_not_understood_are_refused() {
        for (method, path) in [("ANY", "/a"), ("GET", "a"), ("GET", "/{proxy+}"), ("GET", "/a{b}"), ("GET", "/a b")] {
            assert!(Route::new(method, path).is_err(), "{method} {path}");
        }
    }
}
