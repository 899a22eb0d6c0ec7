//! The OpenAPI documents: one per service, and all of them merged under their public paths.

use utoipa::openapi::OpenApi;

/// A document and the file it is committed as, in `openapi/`.
pub struct Document {
    /// The file's name.
    pub file: &'static str,
    /// The document.
    pub openapi: OpenApi,
}

/// Every document of this binary.
pub fn documents() -> Vec<Document> {
    let mut documents = vec![
        #[cfg(feature = "auth")]
        Document { file: "auth.json", openapi: auth::openapi() },
        #[cfg(feature = "data")]
        Document { file: "data.json", openapi: data::openapi() },
        #[cfg(feature = "storage")]
        Document { file: "storage.json", openapi: storage::openapi() },
        #[cfg(feature = "platform")]
        Document { file: "platform.json", openapi: platform::openapi() },
    ];
    let merged = merged(&documents);
    documents.push(Document { file: "meshbase.json", openapi: merged });
    documents
}

/// The public APIs as apps see them, behind the gateway.
fn merged(documents: &[Document]) -> OpenApi {
    let info = utoipa::openapi::InfoBuilder::new()
        .title("Meshbase")
        .description(Some("Auth, data and storage behind one gateway."))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    let mut merged = OpenApi::new(info, utoipa::openapi::Paths::new());
    for document in documents {
        let prefix = match document.file {
            "auth.json" => "/auth/v1",
            "data.json" => "/rest/v1",
            "storage.json" => "/storage/v1",
            // for peers only
            _ => continue,
        };
        merged = merged.nest(prefix, document.openapi.clone());
    }
    merged
}

/// A document as it is committed: indented, with a line break at the end.
pub fn text(document: &Document) -> String {
    let mut text = document.openapi.to_pretty_json().expect("a document serialises");
    text.push('\n');
    text
}
