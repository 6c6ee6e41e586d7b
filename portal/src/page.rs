//! What every page shares: who looks at it, its frame, its headers.

use askama::Template;
use scim_engine::connections::caller::Rights;
use scim_engine::connections::permission::Permission;
use scim_engine::connections::vendor;
use scim_engine::env::Env;
use scim_engine::http::{Request, Response};
use scim_engine::store::{Fault, Outcome, View};

use crate::api::Api;
use crate::assets;
use crate::filters;
use crate::form::{Form, sentence};
use crate::session::{Area, Session, cookie};
use crate::shown::Shown;

/// Header of the script's own requests: they keep no session alive.
const LIVE: &str = "x-live";

/// One request of somebody with a session.
pub struct Visit<'a> {
    /// Where.
    pub area: Area,
    /// The request.
    pub request: &'a Request,
    /// Time and settings.
    pub env: &'a Env<'a>,
    /// The API with the session's credential.
    pub api: Api<'a>,
    /// What the credential is good for.
    pub rights: Rights,
    session: &'a Session,
}

/// What stands around a page.
#[derive(Debug, Default)]
pub struct Frame {
    pub title: String,
    pub section: &'static str,
    pub base: &'static str,
    pub vendor: bool,
    pub signed_in: bool,
    pub proof: String,
    pub notice: &'static str,
    pub write: bool,
    pub delete: bool,
    head: String,
}

/// Sections of the dashboard: key, path, name, and the strokes of an icon.
const SECTIONS: [(&str, &str, &str, &str); 4] = [
    ("overview", "", "Overview", "M3 17V9h3v8M8.500 17V3h3v14M14 17v-5h3v5"),
    ("accounts", "/accounts", "Accounts", "M3 17V4h8v13M11 8h6v9M2 17h16M6 7.500h2M6 11h2M14 11.500h.5"),
    ("residue", "/residue", "Deleted", "M4 6h12M8 6V3.500h4V6M5.500 6l.8 11h7.400l.8-11"),
    (
        "roles",
        "/roles",
        "Roles",
        "M10 3l6 2.500v4c0 4-2.500 6.500-6 7.500-3.500-1-6-3.500-6-7.500v-4zM7.500 10l2 2 3.500-4",
    ),
];

/// Pages of a connection: key, path and name.
const TABS: [(&str, &str, &str); 5] = [
    ("overview", "", "Overview"),
    ("setup", "/setup", "Set-up"),
    ("users", "/users", "Users"),
    ("groups", "/groups", "Groups"),
    ("log", "/log", "Log"),
];

#[derive(Template)]
#[template(path = "layout.html")]
struct Layout<'a> {
    frame: &'a Frame,
    main: &'a str,
    style: &'static str,
    script: &'static str,
    icon: &'static str,
}

#[derive(Template)]
#[template(path = "head.html")]
struct Head<'a> {
    frame: &'a Frame,
    shown: &'a Shown,
    tab: &'a str,
}

impl<'a> Visit<'a> {
    /// Opens the session of a request.
    ///
    /// # Errors
    /// 401 when there is none, or what has to be loaded first.
    pub fn open(
        area: Area,
        session: &'a Session,
        request: &'a Request,
        view: &'a View<'a>,
        env: &'a Env<'a>,
    ) -> Result<Self, Fault> {
        let api = Api::new(request, view, env, &session.credential);
        let rights = api.rights()?;
        let vendor = rights.account.is_none();
        if vendor != (area == Area::Dashboard) {
            return Err(Fault::Refused(Response::empty(401)));
        }
        if !vendor && !rights.self_service {
            return Err(refuse(403, "self-service is switched off"));
        }
        if !vendor && !rights.grants.includes(Permission::Read) {
            return Err(refuse(403, "your role does not include provisioning"));
        }
        Ok(Self { area, request, env, api, rights, session })
    }

    /// The fields of a form that one of our own pages has sent.
    ///
    /// # Errors
    /// 403 for a form of somebody else.
    pub fn form(&self) -> Result<Form, Fault> {
        let form = Form::of(self.request);
        if self.session.proves(form.get("proof")) && !is_foreign(self.request) {
            return Ok(form);
        }
        Err(refuse(403, "this form is out of date: go back, reload the page and try again"))
    }

    /// A parameter of the query; empty when there is none.
    pub fn query(&self, name: &str) -> String {
        let parameters = self.request.parameters().unwrap_or_default();
        parameters.into_iter().find(|(given, _)| given == name).map(|(_, value)| value).unwrap_or_default()
    }

    /// The layout of a page.
    pub fn frame(&self, title: &str, section: &'static str) -> Frame {
        Frame {
            signed_in: true,
            vendor: self.rights.account.is_none(),
            proof: self.session.proof(),
            notice: notice(&self.query("done")),
            write: self.rights.grants.includes(Permission::Write),
            delete: self.rights.grants.includes(Permission::Delete),
            ..Frame::bare(self.area, title, section)
        }
    }

    /// The frame of a page about a connection: its name, state and tabs stand above the page.
    pub fn frame_of(&self, title: &str, shown: &Shown, tab: &str) -> Frame {
        let mut frame = self.frame(title, "accounts");
        frame.head = Head { frame: &frame, shown, tab }.render().unwrap_or_default();
        frame
    }

    /// The answer with a page; the dashboard's session lives on.
    pub fn show(&self, status: u16, frame: &Frame, page: &impl Template) -> Outcome {
        answer(self.keep(html(status, frame, page, self.area, self.env)))
    }

    /// Sends the browser to another page, after a change.
    pub fn done(&self, outcome: Outcome, to: &str) -> Outcome {
        Outcome { response: Response::empty(303).with("location", format!("{}{to}", self.area.base())), ..outcome }
    }

    /// A value for the next page only.
    pub fn flash(&self, response: Response, value: &str) -> Response {
        let age = if value.is_empty() { 0 } else { 300 };
        response.with("set-cookie", self.area.cookie("flash", value, age, self.request, self.env))
    }

    /// The value the page before has left.
    pub fn flashed(&self) -> Option<&str> {
        cookie(self.request, "flash").filter(|value| !value.is_empty())
    }

    fn keep(&self, response: Response) -> Response {
        if self.area != Area::Dashboard || self.request.header(LIVE).is_some() {
            return response;
        }
        let Some(credential) = vendor::renew(&self.session.credential, self.env) else { return response };
        let session = Session { credential, ..self.session.clone() };
        let cookie = self.area.cookie(Session::COOKIE, &session.value(), vendor::LIFETIME, self.request, self.env);
        response.with("set-cookie", cookie)
    }
}

impl Frame {
    /// The layout for somebody unknown.
    pub fn bare(area: Area, title: &str, section: &'static str) -> Self {
        Self { title: title.to_owned(), section, base: area.base(), ..Self::default() }
    }
}

/// Whether the browser says that another site has made the request.
pub fn is_foreign(request: &Request) -> bool {
    request.header("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

/// An answer that changes nothing.
pub fn answer(response: Response) -> Outcome {
    Outcome { response, ..Outcome::default() }
}

/// A refusal for people.
pub fn refuse(status: u16, why: &str) -> Fault {
    Fault::Refused(Response::json(status, "application/json", &serde_json::json!({ "message": why })))
}

/// A page without layout.
pub fn plain(status: u16, text: &str) -> Response {
    Response { status, body: text.as_bytes().to_vec(), ..Response::default() }
        .with("content-type", "text/plain; charset=utf-8")
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: &'a Frame,
    status: u16,
    message: String,
    start: bool,
}

/// What a refusal looks like to people. It leads to the start where that is open to them, and another page than this.
pub fn error(area: Area, refusal: &Response, request: &Request, view: &View<'_>, env: &Env<'_>) -> Response {
    let (title, message) = match refusal.status {
        401 => ("Your session has ended", "Open provisioning again from your application.".to_owned()),
        404 => ("Not found", "It may have been deleted, or the address is wrong.".to_owned()),
        403 => ("Not available", sentence(&crate::form::Problem::of(refusal).message)),
        _ => ("That did not work", crate::form::Problem::of(refusal).message),
    };
    let frame = Frame::bare(area, title, "");
    let is_start = request.method == "GET" && request.target.trim_end_matches('/') == area.base();
    let is_open = |session: Session| Visit::open(area, &session, request, view, env).is_ok();
    let start = !is_start && Session::of(request).is_some_and(is_open);
    html(refusal.status, &frame, &ErrorPage { frame: &frame, status: refusal.status, message, start }, area, env)
}

/// A page with the headers every page has. Only the portal may stand in a frame, and only where the settings say so.
pub fn html(status: u16, frame: &Frame, page: &impl Template, area: Area, env: &Env<'_>) -> Response {
    framed(status, frame, &page.render().unwrap_or_default(), area, env)
}

fn framed(status: u16, frame: &Frame, main: &str, area: Area, env: &Env<'_>) -> Response {
    let layout = Layout { frame, main, style: assets::style(), script: assets::script(), icon: assets::icon() };
    let body = layout.render().unwrap_or_default().into_bytes();
    let origins = env.config.portal_origins.join(" ");
    let ancestors = match area {
        Area::Portal if !origins.is_empty() => origins,
        Area::Portal | Area::Dashboard => "'none'".to_owned(),
    };
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
    );
    Response { status, body, ..Response::default() }
        .with("content-type", "text/html; charset=utf-8")
        .with("content-security-policy", policy)
        .with("cache-control", "no-store")
        .with("referrer-policy", "same-origin")
        .with("x-content-type-options", "nosniff")
}

fn notice(key: &str) -> &'static str {
    match key {
        "paused" => "Provisioning is paused. The identity provider's changes are refused until you resume.",
        "resumed" => "Provisioning is running again.",
        "renamed" => "The connection has a new name.",
        "revoked" => "The token was revoked. It is refused from now on.",
        "deleted" => "The connection was deleted.",
        "removed" => "What was left is being removed.",
        "on" => "Self-service is on. Customers with the right permissions can manage their connections.",
        "off" => "Self-service is off. Customers no longer see provisioning.",
        "role" => "The role was saved.",
        "role-deleted" => "The role was deleted.",
        _ => "",
    }
}
