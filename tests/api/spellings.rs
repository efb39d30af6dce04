//! One address in all its spellings, and the answers of the door itself.

use serde_json::json;

use super::ask::{House, ask, get, post};

#[test]
fn an_address_may_end_in_a_slash_and_begin_with_api() {
    let (house, admin) = House::ready();
    for path in ["/auth/me", "/auth/me/", "/api/auth/me", "/api/auth/me/"] {
        house.check(get(path).by(&admin), 200, &json!({"username": "Chef"}));
    }
    for path in ["/rag/documents/?limit=2", "/api/rag/documents/?limit=2"] {
        house.check(get(path).by(&admin), 200, &json!({"total": 0}));
    }
    let login = json!({"username": "chef", "password": super::ask::PASSWORD});
    for path in ["/auth/login/", "/api/auth/login", "/api/auth/login/"] {
        house.check(post(path, &login), 200, &json!({"token_type": "bearer"}));
    }
    for path in ["/api/api/auth/me", "/Auth/me", "/auth//me", "/auth/me/x", "/apis/auth/me"] {
        house.refuses(get(path).by(&admin), 404, "not_found");
    }
}

#[test]
fn the_root_speaks_to_browsers_and_to_programs() {
    let house = House::fresh();
    house.check(get("/"), 200, &json!({"service": "ilot", "docs": "/docs"}));
    house.check(get("/").header("accept", "application/json"), 200, &json!({"service": "ilot"}));
    let page = house.ask(get("/").header("accept", "text/html,application/xhtml+xml"));
    assert_eq!((page.status, page.header("location")), (303, "/ui/"));
    for path in ["/ui", "/ui/", "/ui/documents", "/docs"] {
        let page = house.ask(get(path).header("accept", "text/html"));
        assert!(
            page.header("content-type").starts_with("text/html"),
            "{path}: {}",
            page.header("content-type")
        );
        assert!(page.header("content-security-policy").contains("default-src"), "{path}");
    }
    house.refuses(get("/ui/assets/nothing.js"), 404, "not_found");
    assert_eq!(house.ask(get("/admin")).header("location"), "/ui/admin");
}

#[test]
fn head_is_get_without_its_body() {
    let (house, admin) = House::ready();
    for path in ["/health", "/auth/me", "/rag/status", "/openapi.json", "/"] {
        let (head, got) =
            (house.ask(ask("HEAD", path).by(&admin)), house.ask(get(path).by(&admin)));
        assert_eq!((head.status, head.bytes.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
    }
    let nobody = house.ask(ask("HEAD", "/auth/me"));
    assert_eq!((nobody.status, nobody.bytes.len()), (401, 0));
}

#[test]
fn the_doors_own_refusals_wear_the_same_body() {
    let (house, admin) = House::ready();
    house.refuses(get("/nowhere"), 404, "not_found");
    house.refuses(ask("DELETE", "/health"), 405, "method_not_allowed");
    house.refuses(ask("PATCH", "/rag/documents").by(&admin), 405, "method_not_allowed");
    house.refuses(ask("POST", "/auth/login").raw("text/plain", "{}"), 415, "content_type");
    house.refuses(ask("POST", "/auth/login"), 415, "content_type");
    house.refuses(post("/auth/login", &json!("x".repeat(3 << 20))), 413, "body_too_large");
    let upload = |kind: &str, body: &str| ask("POST", "/rag/documents").by(&admin).raw(kind, body);
    house.refuses(upload("application/json", "{}"), 415, "content_type");
    house.refuses(upload("multipart/form-data", ""), 400, "upload_malformed");
    house.refuses(
        upload("multipart/form-data; boundary=b", "--b\r\nnonsense"),
        400,
        "upload_malformed",
    );
    let cut = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nabc";
    house.refuses(upload("multipart/form-data; boundary=b", cut), 400, "upload_malformed");
    house.check(get("/rag/documents").by(&admin), 200, &json!({"total": 0}));
    let mut foreign = get("/health");
    foreign = foreign.replace_host("evil.example");
    house.refuses(foreign, 421, "host_unknown");
    // What cannot be a path of this box is not looked up.
    house.refuses(get("/rag/documents/%FF").by(&admin), 422, "validation");
}

#[test]
fn a_request_keeps_the_id_it_was_given_and_none_that_could_be_forged_into_a_log() {
    let house = House::fresh();
    let reply = house.ask(get("/health").header("x-request-id", "abc-123"));
    assert_eq!(reply.header("x-request-id"), "abc-123");
    let reply = house.ask(get("/health").header("x-request-id", "a b\tc"));
    assert!(!reply.header("x-request-id").contains(' '));
}
