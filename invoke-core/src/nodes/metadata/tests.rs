use serde_json::{Value, json};

use crate::nodes::{
    Frame, NodeError,
    testing::{TestCx, run_in},
};

fn model(key: &str, kind: &str) -> Value {
    json!({"key": key, "hash": "h", "name": format!("name of {key}"), "base": "sd-1", "type": kind, "submodel_type": null})
}

/// Runs a node into which this metadata comes.
fn run(metadata: Value, id: &str, inputs: Value) -> Result<Value, NodeError> {
    let frame = Some(Frame::of("exec", "source", &json!({ "metadata": metadata })));
    let cx = TestCx {
        frame,
        models: vec![model("m", "main"), model("l", "lora"), model("v", "vae"), model("c", "controlnet")],
        ..TestCx::default()
    };
    run_in(&cx, id, inputs)
}

#[test]
fn core_metadata_keeps_what_is_set_and_any_other_key() {
    let inputs = json!({"seed": 7, "steps": 20, "model": model("m", "main"), "ipAdapters": null, "my_key": [1, null], "cfg_scale": 7.0});
    let output = run(Value::Null, "core_metadata", inputs).unwrap();
    let model = json!({"key": "m", "hash": "h", "name": "name of m", "base": "sd-1", "type": "main"});
    let metadata = json!({"seed": 7, "cfg_scale": 7.0, "steps": 20, "model": model, "my_key": [1, null], "app_version": "6.14.2"});
    assert_eq!(output, json!({"metadata": metadata, "type": "metadata_output"}));
}

#[test]
fn entries_come_together() {
    let items = json!({"items": [{"label": "a", "value": 1}, {"label": "b", "value": "x"}]});
    assert_eq!(
        run(Value::Null, "metadata", items).unwrap()["metadata"],
        json!({"a": 1, "b": "x", "app_version": "6.14.2"})
    );
    let merged = run(Value::Null, "merge_metadata", json!({"collection": [{"a": 1, "b": 2}, {"b": 3}]})).unwrap();
    assert_eq!(merged["metadata"], json!({"a": 1, "b": 3}));
    let vae = json!({"vae": model("v", "vae"), "seamless_axes": []});
    let linked = run(json!({"a": 1}), "metadata_item_linked", json!({"label": "vae", "value": vae})).unwrap();
    assert_eq!(
        linked["metadata"],
        json!({"a": 1, "vae": model("v", "vae"), "app_version": "6.14.2"})
    );
    let unnamed = run(Value::Null, "metadata_item_linked", json!({"custom_label": " ", "value": 1})).unwrap_err();
    assert_eq!(unnamed.to_string(), "all: You must enter a Custom Label");
}

#[test]
fn scalars_are_converted_as_python_does() {
    let table = [
        ("metadata_to_string", json!({"x": 1.0}), json!("d"), Some(json!("1.0"))),
        ("metadata_to_string", json!({"x": true}), json!("d"), Some(json!("True"))),
        ("metadata_to_string", json!({}), json!("d"), Some(json!("d"))),
        ("metadata_to_integer", json!({"x": "12"}), json!(1), Some(json!(12))),
        ("metadata_to_integer", json!({"x": 3.9}), json!(1), Some(json!(3))),
        ("metadata_to_integer", json!({"x": "a"}), json!(1), None),
        ("metadata_to_float", json!({"x": "1.5"}), json!(1.0), Some(json!(1.5))),
        ("metadata_to_bool", json!({"x": "False"}), json!(false), Some(json!(true))),
        ("metadata_to_bool", json!({"x": 0}), json!(true), Some(json!(false))),
    ];
    for (id, metadata, default, expected) in table {
        let found = run(metadata.clone(), id, json!({"custom_label": "x", "default_value": default}))
            .ok()
            .map(|output| output["value"].clone());
        assert_eq!(found, expected, "{id} {metadata}");
    }
    let list = run(
        json!({"seed": 5}),
        "metadata_to_integer_collection",
        json!({"label": "seed", "default_value": []}),
    )
    .unwrap();
    assert_eq!(list["collection"], json!([5]));
    assert_eq!(
        run(json!({"scheduler": "lcm"}), "metadata_to_scheduler", json!({})).unwrap()["scheduler"],
        "lcm"
    );
    assert!(run(json!({"scheduler": "none"}), "metadata_to_scheduler", json!({})).is_err());
}

#[test]
fn models_are_found_by_key_then_by_name_then_the_default() {
    let default = json!({"default_value": model("m", "main")});
    for recorded in [
        json!({"key": "m"}),
        json!({"key": "gone", "name": "name of m"}),
        json!({"model_name": "name of m"}),
        json!({"key": "gone"}),
    ] {
        let output = run(json!({"model": recorded}), "metadata_to_model", default.clone()).unwrap();
        assert_eq!((&output["model"]["key"], &output["name"]), (&json!("m"), &json!("sd-1: name of m")));
    }
    assert!(run(json!({}), "metadata_to_model", json!({"default_value": model("x", "main")})).is_err());
    let loras = json!({"loras": [{"model": {"key": "l"}, "weight": 0.5}, {"model": {"key": "gone"}, "weight": 1}]});
    let output = run(loras, "metadata_to_lora_collection", json!({})).unwrap();
    assert_eq!(output["lora"].as_array().unwrap().len(), 1);
    assert_eq!(output["lora"][0]["weight"], 0.5);
}

#[test]
fn controls_are_appended() {
    let entry = json!({
        "image": {"image_name": "a.png"}, "control_model": {"key": "c"}, "control_weight": 1.0, "begin_step_percent": 0.0, "end_step_percent": 0.5,
        "control_mode": "balanced", "resize_mode": "just_resize",
    });
    let output = run(json!({"controlnets": [entry]}), "metadata_to_controlnets", json!({})).unwrap();
    assert_eq!(output["control_list"][0]["control_model"]["key"], "c");
    assert_eq!(output["control_list"][0]["end_step_percent"], 0.5);
}

#[test]
fn what_was_recorded_with_a_picture() {
    let cx = TestCx::default();
    let pixels = std::sync::Arc::new(image::DynamicImage::new_rgb8(1, 1));
    cx.images
        .lock()
        .push(("a.png".into(), pixels, Some(json!({"prompt": "cat", "seed": 3}))));
    let image = json!({"image_name": "a.png"});
    assert_eq!(
        run_in(&cx, "metadata_from_image", json!({"image": image})).unwrap()["metadata"]["seed"],
        3
    );
    assert_eq!(
        run_in(&cx, "metadata_field_extractor", json!({"image": image, "key": "prompt"})).unwrap()["value"],
        "cat"
    );
    assert!(run_in(&cx, "metadata_field_extractor", json!({"image": image, "key": "seed"})).is_err());
}
