//! Downloading a certificate with its chain, or one of its other chains (RFC 8555 §7.4.2).

use actix_web::{HttpResponse, web};

use crate::{
    clock,
    http::{AccountSigned, HttpError, Nothing, Reply},
    ra,
};

/// `POST /acme/{endpoint}/cert/{certificate}`
pub(crate) async fn post(
    path: web::Path<(String, String)>,
    request: AccountSigned<Nothing>,
) -> Result<HttpResponse, HttpError> {
    send(&request, &path.1, 0).await
}

/// `POST /acme/{endpoint}/cert/{certificate}/{chain}`
pub(crate) async fn post_alternate(
    path: web::Path<(String, String, String)>,
    request: AccountSigned<Nothing>,
) -> Result<HttpResponse, HttpError> {
    let chain = path.2.parse().ok().filter(|chain: &usize| chain.to_string() == path.2);
    send(&request, &path.1, chain.ok_or_else(|| ra::Error::not_found("chain"))?).await
}

async fn send(request: &AccountSigned<Nothing>, handle: &str, wanted: usize) -> Result<HttpResponse, HttpError> {
    let AccountSigned { app, endpoint, registration, .. } = request;
    let chains = ra::certificate::download(app, endpoint, &registration.id, handle, clock::now()).await?;
    let chain = chains.get(wanted).ok_or_else(|| ra::Error::not_found("chain"))?;
    let mut reply = Reply::ok();
    for other in (0..chains.len()).filter(|other| *other != wanted) {
        let url = if other == 0 { endpoint.links.certificate(handle) } else { endpoint.links.alternate(handle, other) };
        reply = reply.link("alternate", &url);
    }
    Ok(reply.pem_chain(chain.clone()))
}
