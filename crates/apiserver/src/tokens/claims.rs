//! What a service account token says: the claims of upstream, and whether they hold at a moment.

use serde::{Deserialize, Deserializer, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    #[serde(default, deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// Seconds since 1970, as all times here.
    pub exp: i64,
    pub iat: i64,
    pub iss: String,
    #[serde(default)]
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Private,
    pub nbf: i64,
    pub sub: String,
}

/// The part of the claims that is Kubernetes' own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Ref>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Ref>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Ref>,
    pub serviceaccount: Ref,
    /// When a client that renews its tokens would have done so; only in tokens that live longer than was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// An object a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ref {
    pub name: String,
    pub uid: String,
}

/// The issuer alone, to tell our tokens from others'.
#[derive(Deserialize)]
pub struct Issuer {
    #[serde(default)]
    pub iss: String,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClaimsError {
    #[error("service account token has expired")]
    Expired,
    #[error("service account token is not valid yet")]
    NotYet,
    #[error("token audiences {have:?} is invalid for the target audiences {wanted:?}")]
    Audience { have: Vec<String>, wanted: Vec<String> },
    #[error("token was issued by {0:?}")]
    Issuer(String),
    #[error("service account token claims do not belong together")]
    Subject,
}

impl Claims {
    /// Checks time, issuer, subject and audiences; answers the audiences that token and reader share.
    ///
    /// Which objects the token is bound to, and whether those exist, is not looked at.
    pub fn check(&self, now: i64, issuer: &str, audiences: &[String]) -> Result<Vec<String>, ClaimsError> {
        if self.iss != issuer {
            return Err(ClaimsError::Issuer(self.iss.clone()));
        }
        if now >= self.exp {
            return Err(ClaimsError::Expired);
        }
        if now < self.nbf {
            return Err(ClaimsError::NotYet);
        }
        let Private { namespace, serviceaccount, .. } = &self.kubernetes;
        if self.sub != format!("system:serviceaccount:{namespace}:{}", serviceaccount.name) {
            return Err(ClaimsError::Subject);
        }
        let shared: Vec<_> = self.aud.iter().filter(|one| audiences.contains(one)).cloned().collect();
        if shared.is_empty() {
            return Err(ClaimsError::Audience { have: self.aud.clone(), wanted: audiences.to_vec() });
        }
        Ok(shared)
    }
}

/// RFC 7519: an audience is a list, or one string.
fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(input)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            aud: vec!["api".into(), "vault".into()],
            exp: 200,
            iat: 100,
            iss: "https://here".into(),
            jti: "1".into(),
            nbf: 100,
            sub: "system:serviceaccount:shop:till".into(),
            kubernetes: Private {
                namespace: "shop".into(),
                serviceaccount: Ref { name: "till".into(), uid: "u".into() },
                ..Private::default()
            },
        }
    }

    fn check(change: impl FnOnce(&mut Claims), now: i64, expected: Result<&[&str], ClaimsError>) {
        let mut claims = claims();
        change(&mut claims);
        let found = claims.check(now, "https://here", &["api".into()]);
        assert_eq!(found, expected.map(|list| list.iter().map(|one| (*one).to_owned()).collect()));
    }

    #[test]
    fn validity() {
        check(|_| (), 100, Ok(&["api"]));
        check(|_| (), 199, Ok(&["api"]));
        check(|_| (), 200, Err(ClaimsError::Expired));
        check(|_| (), 99, Err(ClaimsError::NotYet));
        check(|c| c.iss = "https://there".into(), 150, Err(ClaimsError::Issuer("https://there".into())));
        check(|c| c.kubernetes.namespace = "yard".into(), 150, Err(ClaimsError::Subject));
        let wrong = ClaimsError::Audience { have: vec!["vault".into()], wanted: vec!["api".into()] };
        check(|c| c.aud = vec!["vault".into()], 150, Err(wrong));
    }

    #[test]
    fn a_single_audience_is_a_list_of_one() {
        let mut value = serde_json::to_value(claims()).unwrap();
        value["aud"] = "api".into();
        assert_eq!(serde_json::from_value::<Claims>(value).unwrap().aud, ["api"]);
    }
}
