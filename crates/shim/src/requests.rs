//! What daemons ask, and what they are answered.

use std::os::fd::OwnedFd;

use barge_shim_api::{Create, Exec, Failure, FailureKind, Request, Response, State, Status};
use barge_sys::fault;
use serde_json::value::to_raw_value;

use crate::connection::ConnectionId;
use crate::container::Container;
use crate::launch;
use crate::listener::Listener;
use crate::main_loop::Shim;

impl Shim {
    /// Does what a request asks.
    pub(crate) fn handle(
        &mut self,
        from: ConnectionId,
        request: Request,
        descriptors: Vec<OwnedFd>,
    ) -> Response {
        let outcome = match request {
            Request::Create(mut create) => {
                if let Some(process) = &mut create.spec.process {
                    launch::size_terminal(process, create.stdio);
                }
                self.create(&create, descriptors)
            }
            Request::Exec(mut exec) => {
                launch::size_terminal(&mut exec.process, exec.stdio);
                self.exec(&exec, descriptors)
            }
            Request::Subscribe => {
                if let Some(connection) = self.connection_mut(from) {
                    connection.subscribe();
                }
                let state = self.state();
                if let Some(container) = &mut self.container {
                    container.forget_untold();
                }
                Ok(Response::State(state))
            }
            Request::State => Ok(Response::State(self.state())),
            Request::Shutdown => self.shutdown(),
            Request::Start => self
                .container()
                .and_then(|container| container.start().map(|at| Response::Started { at })),
            Request::Attach(what) => self.container().and_then(|container| {
                let Some(socket) = descriptors.into_iter().next() else {
                    return Err(invalid("attach", "no stream was sent"));
                };
                container.attach(socket, what).map(|at| Response::Attached { at })
            }),
            Request::Resize { exec_id, size } => {
                self.done(|container| container.resize(exec_id.as_deref(), size.height, size.width))
            }
            Request::Signal { signal, target } => {
                fault::point("shim: asked to signal");
                let done = self.done(|container| container.signal(signal, &target));
                fault::point("shim: signalled");
                done
            }
            Request::Pause => self.done(Container::pause),
            Request::Resume => self.done(Container::resume),
            Request::Update { resources } => self.done(|container| {
                container.cgroup()?.set(&resources).map_err(|error| launch::cgroup_failure(&error))
            }),
            Request::CloseStdin { exec_id } => {
                self.done(|container| container.close_input(exec_id.as_deref()))
            }
            Request::Stats => self.stats(),
            Request::Pids => {
                self.container().and_then(|container| container.pids().map(Response::Pids))
            }
        };
        outcome.unwrap_or_else(Response::Error)
    }

    fn container(&mut self) -> Result<&mut Container, Failure> {
        self.container.as_mut().ok_or_else(|| {
            Failure::new(FailureKind::WrongState, "state", "container is not created")
        })
    }

    fn done(
        &mut self,
        act: impl FnOnce(&mut Container) -> Result<(), Failure>,
    ) -> Result<Response, Failure> {
        act(self.container()?).map(|()| Response::Ok)
    }

    fn create(&mut self, create: &Create, descriptors: Vec<OwnedFd>) -> Result<Response, Failure> {
        if self.container.is_some() {
            return Err(invalid("create", "container exists"));
        }
        let listener = Listener::create(&create.socket_path)
            .map_err(launch::os_failure("socket", "cannot listen for daemons"))?;
        let launched = launch::create(create, descriptors)?;
        self.listener = Some(listener);
        let container = Container::new(create.id.clone(), create.state_dir.clone(), launched);
        let pid = container.pid();
        self.container = Some(container);
        fault::point("shim: created");
        Ok(Response::Created { pid })
    }

    fn exec(&mut self, exec: &Exec, streams: Vec<OwnedFd>) -> Result<Response, Failure> {
        let pid = self.container()?.exec(exec, streams)?;
        Ok(Response::ExecStarted { pid })
    }

    fn stats(&mut self) -> Result<Response, Failure> {
        let stats =
            self.container()?.cgroup()?.stats().map_err(|error| launch::cgroup_failure(&error))?;
        match to_raw_value(&stats) {
            Ok(text) => Ok(Response::Stats(text)),
            Err(error) => Err(Failure::new(FailureKind::System, "stats", error)),
        }
    }

    fn state(&self) -> State {
        match &self.container {
            Some(container) => container.state(),
            None => State { id: String::new(), status: Status::Empty, execs: Vec::new() },
        }
    }

    fn shutdown(&mut self) -> Result<Response, Failure> {
        if let Some(container) = &mut self.container
            && !container.give_up()?
        {
            return Err(Failure::new(FailureKind::WrongState, "shutdown", "container is running"));
        }
        fault::point("shim: released");
        self.is_released = true;
        Ok(Response::Ok)
    }
}

fn invalid(stage: &str, message: &str) -> Failure {
    Failure::new(FailureKind::InvalidRequest, stage, message)
}
