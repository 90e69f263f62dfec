#![allow(clippy::unwrap_used)]
use super::*;
use crate::driver::spec;
use crate::pipeline::{self, connections};

fn spec_of(name: &str, kind: &str, rest: &str) -> Driver {
    let text = format!(
        "name: {name}\nversion: 1.0.0\nkind: {kind}\ntitle: t\nconfigSchema: {{type: object, properties: {{path: {{}}}}}}\n{rest}"
    );
    let spec = spec::parse(&text, "spec.yaml").unwrap();
    Driver {
        spec,
        path: "x.wasm".into(),
        sha256: String::new(),
        contract: String::new(),
        imports: Vec::new(),
        offers: Vec::new(),
    }
}

fn planned(steps: &str) -> Result<Plan, Reports> {
    let text = format!("oml_version: \"0.1.0\"\nname: x\nsteps:\n{steps}");
    let drivers = [
        spec_of("t.read", "extractor", ""),
        spec_of("t.work", "processor", "connectionFields: [host, password]\n"),
        spec_of("t.write", "writer", "grants: {write: [\"{config.path}\"]}\n"),
    ];
    let drivers = drivers.into_iter().map(|driver| (driver.spec.name.clone(), driver)).collect();
    let connections =
        connections::parse("connections: {db: {main: {host: h, password: pw, extra: e}}}", "c.yaml").unwrap();
    let project = Project::default();
    let context = PlanContext {
        project: &project,
        on: None,
        params: &Params::new(),
        connections: &connections,
        environment: &Environment::new(),
        drivers: &drivers,
        base: Path::new("/base"),
        policy: &crate::grants::policy::Policy::default_with(crate::grants::policy::ConnectionHosts::default()),
        judge: &config::InPlace,
        profile: None,
    };
    plan(&pipeline::parse(&text, "p.yaml").unwrap(), &context)
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

#[test]
fn without_needs_a_step_reads_the_step_before() {
    let plan = planned("- {id: get-it, component: t.read}\n- {id: b, component: t.work}\n- {id: c, component: t.write}\n- {id: d, component: t.write}").unwrap();
    assert_eq!(names(&plan), ["get-it", "b", "c", "d"]);
    let input = &plan.steps[1].inputs[0];
    assert_eq!((input.alias.as_str(), input.table.as_str()), ("get-it", "main"));
    assert_eq!(input.also, ["df_get_it", "input_df", "input"]);
    // A step behind a writer reads what the writer reads, and waits for the writer.
    assert_eq!(plan.steps[3].inputs[0].step.as_str(), "b");
    assert!(plan.steps[3].needs.contains(&StepId::new("c").unwrap()));
}

#[test]
fn a_step_after_a_writer_reads_what_that_writer_reads() {
    let plan = planned(
        "- {id: a, component: t.read}\n- {id: b, component: t.read, needs: []}\n- {id: w, component: t.write, needs: [a]}\n\
         - {id: v, component: t.write}\n- {id: d, component: t.work}\n\
         - {id: x, component: t.write, inputs: {o: {from_step: d, table: t2}}}\n- {id: e, component: t.work}",
    )
    .unwrap();
    let reads = |id: &str| {
        let step = plan.steps.iter().find(|step| step.id.as_str() == id).unwrap();
        let input = &step.inputs[0];
        format!("{} as {}.{}", input.alias, input.step, input.table)
    };
    assert_eq!([reads("v"), reads("d"), reads("e")], ["a as a.main", "a as a.main", "o as d.t2"]);
}

#[test]
fn several_inputs_keep_their_names_and_order() {
    let plan = planned(
        "- {id: z, component: t.read}\n- {id: a, component: t.read, needs: []}\n- {id: j, component: t.work, needs: [z, a]}\n\
         - {id: k, component: t.work, inputs: {x: {from_step: j, table: t2}, input: {from_step: z}}}",
    )
    .unwrap();
    let aliases = |step: usize| plan.steps[step].inputs.iter().map(|input| input.alias.as_str()).collect::<Vec<_>>();
    assert_eq!(aliases(2), ["z", "a"]);
    assert_eq!(aliases(3), ["x", "input"]);
    assert_eq!(plan.steps[2].inputs[0].also, ["df_z"]);
    assert_eq!(plan.steps[3].inputs[0].table, "t2");
    assert!(plan.steps[1].needs.is_empty());
}

#[test]
fn an_additional_name_of_an_input_refers_to_one_table_or_is_not_given() {
    let steps = "- {id: a-b, component: t.read}\n- {id: a_b, component: t.read, needs: []}\n- {id: c, component: t.read, needs: []}\n";
    for (inputs, expected) in [
        // Steps whose names become equal.
        ("{x: {from_step: a-b}, y: {from_step: a_b}}", vec![vec![], vec![]]),
        // Several tables of one step: the step's name means `main`.
        ("{x: {from_step: c, table: t2}, y: {from_step: c}}", vec![vec![], vec!["df_c"]]),
        ("{x: {from_step: c, table: t2}, y: {from_step: c, table: t3}}", vec![vec![], vec![]]),
        // One table under several aliases.
        ("{x: {from_step: c}, y: {from_step: c}}", vec![vec!["df_c"], vec![]]),
        // An alias is not shared, whatever its case.
        ("{DF_C: {from_step: a-b}, x: {from_step: c}}", vec![vec!["df_a_b"], vec![]]),
        ("{Input: {from_step: c}}", vec![vec!["df_c", "input_df"]]),
    ] {
        let plan = planned(&format!("{steps}- {{id: d, component: t.work, inputs: {inputs}}}")).unwrap();
        let also: Vec<&Vec<String>> = plan.steps[3].inputs.iter().map(|input| &input.also).collect();
        assert_eq!(also, expected.iter().collect::<Vec<_>>(), "{inputs}");
    }
}

#[test]
fn steps_come_after_what_they_need_regardless_of_their_place() {
    let plan = planned("- {id: c, component: t.work, needs: [b]}\n- {id: b, component: t.work, needs: [a]}\n- {id: a, component: t.read, needs: []}").unwrap();
    assert_eq!(names(&plan), ["a", "b", "c"]);
}

#[test]
fn wrong_references_are_refused_with_a_remedy() {
    let table = [
        (
            "- {id: extract, component: t.read}\n- {id: b, component: t.work, needs: [extrct]}",
            "unknown step `extrct`",
            "did you mean `extract`?",
        ),
        (
            "- {id: a, component: t.work, needs: [b]}\n- {id: b, component: t.work, needs: [a]}",
            "`a` needs `b` needs `a`",
            "take one",
        ),
        ("- {id: a, component: t.work, needs: [a]}", "`a` needs `a`", "take one"),
        ("- {id: a, component: t.write, needs: []}", "writer without an input", "needs"),
        ("- {id: a, component: t.read, mode: write}", "mode `write`", "line 4"),
        (
            "- {id: a, component: t.read}\n- {id: b, component: t.write, config: {path: x}}\n- {id: c, component: t.work, inputs: {i: {from_step: b}}}",
            "is a writer",
            "reads",
        ),
        ("- {id: a, component: t.read}\n- {id: b, component: t.work, inputs: {i: a, I: a}}", "two inputs", "case"),
        (
            "- {id: a, component: t.read}\n- {id: b, component: t.write, config: {path: x}}\n- {id: c, component: t.write, needs: [a], config: {path: ./x}}",
            "both write",
            "own file",
        ),
    ];
    for (steps, message, hint) in table {
        let reports = planned(steps).unwrap_err();
        let report = reports.iter().next().unwrap();
        assert!(report.message.contains(message), "{}", report.message);
        assert!(report.hint.as_deref().unwrap_or_default().contains(hint), "{:?}", report.hint);
    }
}

#[test]
fn all_that_is_wrong_is_reported_at_once() {
    let steps = "- {id: a, component: t.read, mode: write}\n- {id: b, component: t.work, config: {connection: \"@db.mian\"}}\n- {id: c, component: t.write, needs: []}";
    let reports = planned(steps).unwrap_err();
    let messages: Vec<&str> = reports.iter().map(|report| report.message.as_str()).collect();
    assert_eq!(messages.len(), 3, "{messages:?}");
    for (message, word) in messages.iter().zip(["`a`", "mian", "`c`"]) {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_driver_gets_the_connection_fields_it_asks_for() {
    let plan =
        planned("- {id: a, component: t.read}\n- {id: b, component: t.work, config: {connection: \"@db.main\"}}")
            .unwrap();
    assert_eq!(plan.steps[1].config["connection"], serde_json::json!({"host": "h"}));
    assert_eq!(plan.steps[1].secrets["/connection/password"].reveal(), "pw");
    // The secret reaches the driver only when the driver requests it.
    assert!(!serde_json::to_string(&plan.steps[1].masked_config).unwrap().contains("pw"));
}
