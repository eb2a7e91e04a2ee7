//! Files in `agent.d`, which add their flows to those of `agent.json`.

use super::*;

fn load_host(host: &TempDir) -> Result<Config, Problems> {
    let drop_ins = Some(host.path().join("agent.d"));
    load(&Sources { main: host.path().join("agent.json"), drop_ins, state_directory: None })
}

#[test]
fn drop_ins_add_their_flows_in_the_order_of_their_names() {
    let flow = |stream: &str| {
        format!(
            "{{ \"flows\": [{{ \"filePattern\": \"/var/log/app.log\", \"kinesisStream\": \"{stream}\" }}] }}"
        )
    };
    let host = host(FLOW, &[("20.json", &flow("c")), ("10.json", &flow("b"))]);
    let config = load_host(&host).unwrap();
    let streams: Vec<_> = config.flows.iter().map(|flow| flow.destination.name()).collect();
    assert_eq!(streams, ["app", "b", "c"]);
    assert_eq!(config.warnings, []);
}

#[test]
fn drop_ins_that_cannot_be_used_are_passed_over_with_a_warning() {
    let broken = [
        ("a.json", "{"),
        ("b.json", "{ \"flows\": null }"),
        ("c.json", "{ \"kinesis.region\": \"eu-west-1\", \"flows\": [] }"),
        ("d.json.rpmsave", "{}"),
        (".e.json.swp", "{}"),
    ];
    let host = host(FLOW, &broken);
    fs::create_dir(host.path().join("agent.d/f.json")).unwrap();
    let config = load_host(&host).unwrap();
    assert_eq!(config.flows.len(), 1);
    let directory = format!("{}/agent.d/", host.path().display());
    let told: Vec<_> =
        config.warnings.iter().map(|warning| warning.to_string().replace(&directory, "")).collect();
    assert_eq!(
        told,
        [
            "a.json:1:1: warning: is not JSON: unterminated object; the file is passed over",
            "b.json:1:3: warning: `flows` must be a list, not null; it is passed over",
            "c.json:1:3: warning: `kinesis.region` has no effect here: only `flows` is read from this file",
            "d.json.rpmsave: warning: is passed over: its name does not end in `.json`",
        ]
    );
}

#[test]
fn a_drop_in_whose_flow_means_nothing_is_an_error() {
    let host = host(FLOW, &[("a.json", "{ \"flows\": [{ \"kinesisStream\": \"b\" }] }")]);
    let told = load_host(&host).unwrap_err().to_string();
    assert_eq!(told, format!("{}/agent.d/a.json:1:13: this flow needs `filePattern`", host.path().display()));
}

#[test]
fn drop_ins_alone_are_enough() {
    let host = host("", &[("a.json", &format!("{{ \"flows\": [{FLOW}] }}"))]);
    assert_eq!(load_host(&host).unwrap().flows.len(), 1);
    fs::write(host.path().join("agent.json"), "{}").unwrap();
    assert_eq!(load_host(&host).unwrap().flows.len(), 1);
}
