//! The way from the root of a value to where one stands.

use std::fmt;

#[derive(Clone, Debug)]
enum Step {
    Member(Box<str>),
    Item(usize),
}

/// `spec.list[0].name`, walked step by step.
#[derive(Clone, Debug, Default)]
pub struct Trail(Vec<Step>);

impl Trail {
    pub fn enter(&mut self, member: &str) {
        self.0.push(Step::Member(member.into()));
    }

    pub fn enter_item(&mut self, index: usize) {
        self.0.push(Step::Item(index));
    }

    pub fn leave(&mut self) {
        self.0.pop();
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Member(name) if i == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
