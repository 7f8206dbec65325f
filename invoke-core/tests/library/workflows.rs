use invoke_core::{
    authz::Actor,
    domain::{library::Origin, page::Direction},
    repo::workflows::Filter,
    service::style_presets::PresetForm,
    service::workflows::{
        PageOf,
        document::{DOCUMENT, NEW_DOCUMENT, checked},
    },
};
use serde_json::{Value, json};

use crate::house::{House, absent, forbidden};

/// Keeps a workflow, and gives its identifier.
pub(crate) fn saved(house: &House, owner: &Actor, name: &str) -> String {
    let document = json!({
        "name": name, "author": "", "description": "", "version": "1.0.0", "contact": "", "tags": "", "notes": "", "exposedFields": [],
        "meta": {"version": "3.0.0", "category": "user"}, "nodes": [], "edges": [],
    });
    let document = checked(&NEW_DOCUMENT, document).unwrap();
    let made = house.core.workflows.create(owner, &document).unwrap();
    made["workflow_id"].as_str().unwrap().to_owned()
}

/// Names of somebody's workflows; of everybody's if that is asked for.
pub(crate) fn names(house: &House, actor: &Actor, is_public: Option<bool>) -> Vec<String> {
    let filter = Filter {
        categories: vec![Origin::User],
        is_public,
        ..Filter::default()
    };
    let page = PageOf {
        page: 0,
        per_page: None,
        order: "name".into(),
        direction: Direction::Asc,
        callable: None,
    };
    let list = house.core.workflows.list(actor, &filter, &page).unwrap();
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// A workflow's document under another name.
fn renamed(house: &House, actor: &Actor, id: &str, name: &str) -> Value {
    let mut document = house.core.workflows.get(actor, id).unwrap()["workflow"].take();
    document["name"] = json!(name);
    checked(&DOCUMENT, document).unwrap()
}

#[test]
fn g24_users_keep_workflows() {
    let house = House::new();
    let id = saved(&house, &house.alice, "first");
    let document = renamed(&house, &house.alice, &id, "second");
    house.core.workflows.update(&house.alice, &document).unwrap();
    assert_eq!(names(&house, &house.alice, None), ["second"]);
    house.core.workflows.delete(&house.alice, &id).unwrap();
    assert!(absent(house.core.workflows.get(&house.alice, &id)));
}

#[test]
fn g29_shared_workflows_are_used() {
    let house = House::new();
    let id = saved(&house, &house.alice, "shown");
    house.core.workflows.set_public(&house.alice, &id, true).unwrap();
    assert_eq!(names(&house, &house.bob, Some(true)), ["shown"]);
    assert_eq!(house.core.workflows.get(&house.bob, &id).unwrap()["workflow"]["name"], "shown");
}

#[test]
fn g52_a_new_workflow_is_its_owners_alone() {
    let house = House::new();
    let id = saved(&house, &house.alice, "mine");
    assert_eq!(house.core.workflows.get(&house.alice, &id).unwrap()["is_public"], false);
    assert!(forbidden(house.core.workflows.get(&house.bob, &id)));
    assert!(names(&house, &house.bob, None).is_empty() && names(&house, &house.bob, Some(true)).is_empty());
}

#[test]
fn g53_a_shared_workflow_stays_its_owners() {
    let house = House::new();
    let id = saved(&house, &house.alice, "shown");
    house.core.workflows.set_public(&house.alice, &id, true).unwrap();
    let document = renamed(&house, &house.bob, &id, "taken");
    assert!(forbidden(house.core.workflows.update(&house.bob, &document)));
    assert!(forbidden(house.core.workflows.delete(&house.bob, &id)));
    assert!(forbidden(house.core.workflows.set_public(&house.bob, &id, false)));
    house.core.workflows.update(&house.admin, &document).unwrap();
    assert_eq!(names(&house, &house.alice, None), ["taken"]);
}

/// A graph's presets are looked up under its owner's rights.
#[test]
fn a_graph_uses_the_style_presets_that_its_owner_may_see_and_no_others() {
    let house = House::new();
    let preset = json!({"name": "p", "positive_prompt": "a painting of {prompt}", "negative_prompt": "{prompt}, blurry", "type": "user", "is_public": false});
    let form = PresetForm::parse(&preset.to_string()).unwrap();
    let made = house.core.style_presets.create(&house.alice, form, None).unwrap();
    let batch = || {
        let node = json!({"id": "t", "type": "prompt_template", "style_preset": {"style_preset_id": made["id"]}, "positive_prompt": "a fox", "negative_prompt": "fog"});
        json!({"graph": {"id": "g", "nodes": {"t": node}, "edges": []}})
    };
    let (alices, bobs) = (house.enqueue(&house.alice, batch()), house.enqueue(&house.bob, batch()));
    let done = house.ended(&house.alice, alices);
    let result = done["session"]["results"].as_object().unwrap().values().next().unwrap();
    assert_eq!(
        (&result["positive_prompt"], &result["negative_prompt"]),
        (&json!("a painting of a fox"), &json!("fog, blurry"))
    );
    let refused = house.ended(&house.bob, bobs);
    assert_eq!(
        (&refused["status"], &refused["error_type"]),
        (&json!("failed"), &json!("StylePresetNotFoundError"))
    );
}
