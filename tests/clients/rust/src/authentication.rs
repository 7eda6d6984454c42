use svix::models::{AppPortalAccessIn, ApplicationTokenExpireIn};

use crate::check::{World, ok, refused};

pub async fn run(world: &World) {
    let (api, app) = (world.svix.authentication(), world.app());
    let stranger = world.client("not-a-key");
    let list = stranger.application().list(None).await;
    refused(list, 401, "a token that is no key is 401");

    let access = api
        .app_portal_access(app.clone(), AppPortalAccessIn::new(), None)
        .await;
    let access = access.expect("a portal");
    assert!(access.url.starts_with("http") && !access.token.is_empty());
    let portal = world.client(&access.token);
    assert_eq!(
        portal
            .application()
            .get(app.clone())
            .await
            .expect("its own")
            .id,
        app
    );
    let other = portal.application().get("nowhere".to_owned()).await;
    refused(other, 404, "a portal sees no other application");
    portal
        .authentication()
        .logout(None)
        .await
        .expect("a logout");
    let gone = portal.endpoint().list(app.clone(), None).await;
    refused(gone, 401, "after the logout it sees nothing");
    ok("a portal is opened and left");

    let session = async |name: &str| {
        let mut access = AppPortalAccessIn::new();
        access.session_id = Some(name.to_owned());
        let access = api.app_portal_access(app.clone(), access, None).await;
        world.client(&access.expect("a portal").token)
    };
    let (first, second) = (session("one").await, session("two").await);
    let mut one = ApplicationTokenExpireIn::new();
    (one.expiry, one.session_ids) = (Some(0), Some(vec!["one".to_owned()]));
    api.expire_all(app.clone(), one, None)
        .await
        .expect("one expires");
    let expired = first.endpoint().list(app.clone(), None).await;
    refused(expired, 401, "an expired session sees nothing");
    second
        .endpoint()
        .list(app.clone(), None)
        .await
        .expect("the other is open");
    let mut all = ApplicationTokenExpireIn::new();
    all.expiry = Some(0);
    api.expire_all(app.clone(), all, None)
        .await
        .expect("all expire");
    let expired = second.endpoint().list(app, None).await;
    refused(expired, 401, "nor does any after all expired");
}
