//! Which revision of a workflow new orders get.

use anyhow::Result;
use comanda_state_machine::{
    store::{Chooser, Current, Stored},
    workflow,
};

use crate::fixture::Fixture;

const SHIPPED: &str = include_str!("../../workflows/delivery.toml");

/// A workflow file of the user's own, named like the shipped one; another word for "preparing" is another definition.
fn file(word: &str) -> String {
    SHIPPED.replace("\"preparing\"", &format!("{word:?}"))
}

/// The current revision of "delivery".
async fn delivery(fixture: &Fixture) -> Result<Current> {
    let all = fixture.operator()?.workflows().await?;
    Ok(all.into_iter().find(|current| current.name == "delivery").expect("is shipped"))
}

/// Its revision, who chose it, and how often it changed.
async fn told(fixture: &Fixture) -> Result<(i32, String, i64)> {
    let current = delivery(fixture).await?;
    Ok((current.revision, current.chosen_by, current.changes))
}

fn by(chooser: &str, revision: i32, changes: i64) -> (i32, String, i64) {
    (revision, chooser.into(), changes)
}

#[tokio::test]
async fn what_is_shipped_replaces_only_what_was_shipped() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (store, operator) = (fixture.store()?, fixture.operator()?);
    assert_eq!(told(&fixture).await?, by("shipped", 1, 0));
    // A new version of Comanda brings another definition.
    let next = workflow::parse(&file("frying"))?;
    assert_eq!(store.store_workflow(&next, Chooser::Shipped).await?, Stored { revision: 2, current: 2, is_new: true });

    fixture.start_with_file(&file("grilling")).await?.stop().await?;
    assert_eq!(told(&fixture).await?, by("file", 3, 2));
    operator.store_shipped_workflows().await?;
    assert_eq!(told(&fixture).await?, by("file", 3, 2), "migrate with a known definition changes nothing");
    let next = workflow::parse(&file("steaming"))?;
    assert_eq!(store.store_workflow(&next, Chooser::Shipped).await?, Stored { revision: 4, current: 3, is_new: true });
    assert_eq!((told(&fixture).await?, delivery(&fixture).await?.newest), (by("file", 3, 2), 4));
    Ok(())
}

#[tokio::test]
async fn a_restart_with_an_older_file_changes_nothing_and_an_operator_chooses() -> Result<()> {
    let fixture = Fixture::new().await?;
    let operator = fixture.operator()?;
    let (old, new) = (file("frying"), file("grilling"));
    let old_replica = fixture.start_with_file(&old).await?;
    fixture.start_with_file(&new).await?.stop().await?;
    assert_eq!(told(&fixture).await?, by("file", 3, 2));
    // In the middle of an upgrade a replica of the version before starts again.
    old_replica.stop().await?;
    fixture.start_with_file(&old).await?.stop().await?;
    assert_eq!(told(&fixture).await?, by("file", 3, 2));

    assert_eq!(operator.use_workflow("delivery", 2).await?, Some(3));
    assert_eq!(told(&fixture).await?, by("operator", 2, 3));
    let order = fixture.place_one().await?;
    let revision = "SELECT workflow_revision::bigint FROM ordering.orders";
    assert_eq!((fixture.number(revision).await, fixture.history(order).await?.len()), (2, 0));
    for text in [&old, &new] {
        fixture.start_with_file(text).await?.stop().await?;
        assert_eq!(told(&fixture).await?, by("operator", 2, 3), "no restart undoes an operator's choice");
    }
    operator.store_shipped_workflows().await?;
    assert_eq!(told(&fixture).await?, by("operator", 2, 3));
    // A definition that was never stored before is new knowledge.
    fixture.start_with_file(&file("steaming")).await?.stop().await?;
    assert_eq!(told(&fixture).await?, by("file", 4, 4));

    assert_eq!(operator.use_workflow("delivery", 5).await?, None);
    assert_eq!(operator.use_workflow("laundry", 1).await?, None);
    assert_eq!(operator.use_workflow("delivery", 4).await?, Some(4));
    assert_eq!(told(&fixture).await?, by("operator", 4, 4), "the same revision is no change");
    Ok(())
}

#[tokio::test]
async fn a_file_that_holds_the_shipped_definition_makes_it_the_users_own() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.start_with_file(SHIPPED).await?.stop().await?;
    assert_eq!(told(&fixture).await?, by("file", 1, 0));
    let next = workflow::parse(&file("frying"))?;
    let stored = fixture.store()?.store_workflow(&next, Chooser::Shipped).await?;
    assert_eq!(stored, Stored { revision: 2, current: 1, is_new: true });
    Ok(())
}

#[test]
fn files_are_refused_together_and_two_of_one_name_by_both_their_paths() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("workflows-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder)?;
    let write = |name: &str, text: &str| -> Result<_> {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let paths = [
        write("lunch.toml", &file("frying"))?,
        write("dinner.toml", &file("grilling"))?,
        write("typo.toml", &file("frying").replace("mail = \"status\"", "mail = \"states\""))?,
        folder.join("missing.toml"),
        write("bytes.toml", "name = \"x\"")?,
    ];
    std::fs::write(&paths[4], [0xff, 0xfe])?;
    let error = workflow::read_files(&paths).expect_err("all are wrong").to_string();
    for expected in [
        "lunch.toml, ",
        "dinner.toml",
        "\"delivery\" is in 2 files",
        "\"states\"",
        "cannot read",
        "missing.toml",
        "bytes.toml",
    ] {
        assert!(error.contains(expected), "{expected:?} is not in:\n{error}");
    }
    assert_eq!(workflow::read_files(&paths[..1])?.len(), 1);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
