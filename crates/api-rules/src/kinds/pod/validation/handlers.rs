//! Probes and lifecycle hooks: exactly one way of acting, and numbers in range.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::core::v1::{
            Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
        },
        apimachinery::pkg::util::intstr::IntOrString,
    },
};

use super::Errors;
use crate::names::{self, not_negative, one_of, report};

pub fn of_container(container: &Container, grace: i64, path: &Path, errors: &mut Errors) {
    for (member, value) in [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ] {
        let Some(value) = value else { continue };
        let at = path.child(member);
        probe(value, &at, errors);
        if member == "readinessProbe" {
            if value.termination_grace_period_seconds.is_some() {
                errors.push(FieldError::invalid(
                    &at.child("terminationGracePeriodSeconds"),
                    value.termination_grace_period_seconds,
                    "must not be set for readinessProbes",
                ));
            }
        } else if value.success_threshold.is_some_and(|n| n != 1) {
            errors.push(FieldError::invalid(&at.child("successThreshold"), value.success_threshold, "must be 1"));
        }
    }
    let Some(lifecycle) = &container.lifecycle else { return };
    for (member, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if let Some(hook) = hook {
            let LifecycleHandler { exec, http_get, sleep, tcp_socket } = hook;
            let acts = Acts {
                exec: exec.as_ref(),
                http: http_get.as_ref(),
                tcp: tcp_socket.as_ref(),
                sleep: sleep.as_ref(),
                grpc: None,
            };
            acts.validate(grace, &path.child("lifecycle").child(member), errors);
        }
    }
}

fn probe(probe: &Probe, path: &Path, errors: &mut Errors) {
    let acts = Acts {
        exec: probe.exec.as_ref(),
        http: probe.http_get.as_ref(),
        tcp: probe.tcp_socket.as_ref(),
        sleep: None,
        grpc: probe.grpc.as_ref(),
    };
    acts.validate(0, path, errors);
    for (member, number) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        not_negative(number.unwrap_or(0).into(), &path.child(member), errors);
    }
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|s| *s <= 0) {
        errors.push(FieldError::invalid(
            &path.child("terminationGracePeriodSeconds"),
            seconds,
            "must be greater than 0",
        ));
    }
}

/// The ways of acting that a handler may name; just one of them.
struct Acts<'a> {
    exec: Option<&'a ExecAction>,
    http: Option<&'a HTTPGetAction>,
    tcp: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

impl Acts<'_> {
    fn validate(&self, grace: i64, path: &Path, errors: &mut Errors) {
        let given = [
            ("exec", self.exec.is_some()),
            ("httpGet", self.http.is_some()),
            ("tcpSocket", self.tcp.is_some()),
            ("grpc", self.grpc.is_some()),
            ("sleep", self.sleep.is_some()),
        ];
        let given: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(member, _)| *member).collect();
        if given.is_empty() {
            errors.push(FieldError::required(path, "must specify a handler type"));
        }
        for member in given.iter().skip(1) {
            errors.push(FieldError::forbidden(&path.child(member), "may not specify more than 1 handler type"));
        }
        match given.first().copied() {
            Some("exec") => self.exec(&path.child("exec"), errors),
            Some("httpGet") => self.http(&path.child("httpGet"), errors),
            Some("tcpSocket") => self.tcp(&path.child("tcpSocket"), errors),
            Some("grpc") => self.grpc(&path.child("grpc"), errors),
            Some("sleep") => self.sleep(grace, &path.child("sleep"), errors),
            _ => {}
        }
    }

    fn exec(&self, path: &Path, errors: &mut Errors) {
        if self.exec.is_some_and(|e| e.command.as_ref().is_none_or(Vec::is_empty)) {
            errors.push(FieldError::required(&path.child("command"), ""));
        }
    }

    fn http(&self, path: &Path, errors: &mut Errors) {
        let Some(http) = self.http else { return };
        if http.path.as_deref().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&path.child("path"), ""));
        }
        port(&http.port, &path.child("port"), errors);
        one_of(http.scheme.as_deref().unwrap_or_default(), &["HTTP", "HTTPS"], &path.child("scheme"), errors);
        for (i, header) in http.http_headers.iter().flatten().enumerate() {
            let at = path.child("httpHeaders").index(i).child("name");
            report(names::http_header(&header.name), &at, &header.name, errors);
        }
    }

    fn tcp(&self, path: &Path, errors: &mut Errors) {
        if let Some(tcp) = self.tcp {
            port(&tcp.port, &path.child("port"), errors);
        }
    }

    fn grpc(&self, path: &Path, errors: &mut Errors) {
        if let Some(grpc) = self.grpc {
            port(&IntOrString::Int(grpc.port), &path.child("port"), errors);
        }
    }

    fn sleep(&self, grace: i64, path: &Path, errors: &mut Errors) {
        let Some(sleep) = self.sleep else { return };
        if sleep.seconds < 0 || sleep.seconds > grace {
            errors.push(FieldError::invalid(
                path,
                sleep.seconds,
                format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})"),
            ));
        }
    }
}

/// A number in range or the name of a port.
pub fn port(port: &IntOrString, path: &Path, errors: &mut Errors) {
    match port {
        IntOrString::Int(number) => {
            errors.extend(
                names::port_number((*number).into()).into_iter().map(|why| FieldError::invalid(path, *number, why)),
            );
        }
        IntOrString::String(name) => report(names::port_name(name), path, name, errors),
    }
}
