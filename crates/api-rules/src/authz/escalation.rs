//! Nobody may grant what they do not have: whether one set of rules covers another.
//!
//! The comparison breaks each wanted rule into its smallest parts (one verb on one resource, one name, one path), so that
//! permissions gathered from several rules count together, as upstream does.

use super::rules::Rule;

/// The parts of `wanted` that no rule of `owned` covers, verbs on the same thing taken together. Empty when all is covered.
pub fn not_covered(owned: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let mut missing: Vec<Rule> = Vec::new();
    for mut part in wanted.iter().flat_map(parts).filter(|part| !owned.iter().any(|rule| covers(rule, part))) {
        match missing.iter_mut().find(|rule| is_about_the_same(rule, &part)) {
            Some(rule) => rule.verbs.append(&mut part.verbs),
            None => missing.push(part),
        }
    }
    missing
}

fn is_about_the_same(a: &Rule, b: &Rule) -> bool {
    (&a.api_groups, &a.resources, &a.resource_names, &a.non_resource_urls)
        == (&b.api_groups, &b.resources, &b.resource_names, &b.non_resource_urls)
}

/// The rule as upstream prints it in a refusal: lists as Go shows them.
pub fn describe(rule: &Rule) -> String {
    let fields = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.resource_names),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("Verbs", &rule.verbs),
    ];
    let quoted = |list: &[String]| list.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(" ");
    let given = fields.iter().filter(|(_, list)| !list.is_empty());
    let shown: Vec<_> = given.map(|(name, list)| format!("{name}:[{}]", quoted(list))).collect();
    format!("{{{}}}", shown.join(", "))
}

fn parts(rule: &Rule) -> Vec<Rule> {
    let mut parts = Vec::new();
    for verb in &rule.verbs {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let one = |names: Vec<String>| Rule {
                    verbs: vec![verb.clone()],
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    resource_names: names,
                    non_resource_urls: Vec::new(),
                };
                match rule.resource_names.as_slice() {
                    [] => parts.push(one(Vec::new())),
                    names => parts.extend(names.iter().map(|name| one(vec![name.clone()]))),
                }
            }
        }
        for path in &rule.non_resource_urls {
            parts.push(Rule { verbs: vec![verb.clone()], non_resource_urls: vec![path.clone()], ..Rule::default() });
        }
    }
    parts
}

fn covers(owner: &Rule, part: &Rule) -> bool {
    let has = |have: &[String], want: &[String]| want.iter().all(|one| have.iter().any(|h| h == "*" || h == one));
    let resource = |want: &String| {
        owner.resources.iter().any(|have| {
            have == "*"
                || have == want
                || (have.starts_with("*/") && want.split_once('/').is_some_and(|(_, sub)| &have[2..] == sub))
        })
    };
    let path = |want: &String| {
        owner
            .non_resource_urls
            .iter()
            .any(|have| have == "*" || have == want || have.strip_suffix('*').is_some_and(|p| want.starts_with(p)))
    };
    has(&owner.verbs, &part.verbs)
        && has(&owner.api_groups, &part.api_groups)
        && part.resources.iter().all(resource)
        && part.non_resource_urls.iter().all(path)
        && (owner.resource_names.is_empty()
            || (!part.resource_names.is_empty()
                && part.resource_names.iter().all(|name| owner.resource_names.contains(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resources: &[&str], names: &[&str]) -> Rule {
        let own = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        Rule {
            verbs: own(verbs),
            api_groups: own(&[""]),
            resources: own(resources),
            resource_names: own(names),
            ..Rule::default()
        }
    }

    fn check(owned: &[Rule], wanted: &[Rule], missing: &[&str]) {
        let shown: Vec<_> = not_covered(owned, wanted).iter().map(describe).collect();
        assert_eq!(shown, missing);
    }

    #[test]
    fn permissions_of_several_rules_add_up() {
        let owned = [rule(&["get"], &["pods"], &[]), rule(&["list"], &["pods"], &[])];
        check(&owned, &[rule(&["get", "list"], &["pods"], &[])], &[]);
        check(
            &owned,
            &[rule(&["get", "watch"], &["pods", "pods/log"], &[])],
            &[
                r#"{APIGroups:[""], Resources:["pods/log"], Verbs:["get" "watch"]}"#,
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}"#,
            ],
        );
    }

    #[test]
    fn names_narrow() {
        let one = [rule(&["get"], &["secrets"], &["a"])];
        check(&one, &[rule(&["get"], &["secrets"], &["a"])], &[]);
        check(
            &one,
            &[rule(&["get"], &["secrets"], &[])],
            &[r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#],
        );
        check(&[rule(&["*"], &["*"], &[])], &[rule(&["get"], &["secrets"], &["z"])], &[]);
    }

    #[test]
    fn a_star_must_be_owned_to_be_given() {
        check(
            &[rule(&["get"], &["pods"], &[])],
            &[rule(&["*"], &["pods"], &[])],
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#],
        );
        check(&[rule(&["*"], &["*/scale"], &[])], &[rule(&["patch"], &["deployments/scale"], &[])], &[]);
    }
}
