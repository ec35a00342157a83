//! Descriptors: every connection takes one, and many systems give a process 1,024 unless it asks for more.

/// Asks the system for as many as it gives without privileges. What it does not give is missed when connections come.
pub fn ask_for_more() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Resource, getrlimit};

    #[test]
    fn there_are_as_many_as_may_be() {
        super::ask_for_more();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
