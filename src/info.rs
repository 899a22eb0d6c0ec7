//! What a person or a script needs to use a running installation.

use std::path::PathBuf;

use base::Secret;
use serde::{Deserialize, Serialize};

/// The object that `up --json` and `status --json` print. Only the owner of the data folder can ask for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Info {
    /// The gateway.
    pub url: String,
    /// The key for browsers.
    pub anon_key: String,
    /// The key that passes row-level security by.
    pub service_role_key: Secret,
    /// The secret of HS256 tokens.
    pub jwt_secret: Secret,
    /// The owner's database URL.
    pub db_url: Secret,
    /// The console, with its token.
    pub console_url: Secret,
    /// `/livez`, `/readyz`, `/startupz`.
    pub probes_url: String,
    /// `/metrics`.
    pub metrics_url: String,
    /// Where everything is kept.
    pub data_dir: PathBuf,
}

impl Info {
    /// For people: URLs, where the keys are, and the first lines of an app.
    pub fn table(&self) -> String {
        format!(
            "\
Meshbase serves.

  API         {url}
  Database    {db_url}
  Console     {console}
  Data        {data_dir}

  anon key          {anon}
  service_role key  {service}
  (again: `meshbase status`; the service_role key passes row-level security by: servers only)

Copy, paste, run (npm i @supabase/supabase-js, Node 22 or newer):

  import {{ createClient }} from '@supabase/supabase-js'
  const supabase = createClient('{url}', '{anon}')
  const {{ data, error }} = await supabase.auth.signUp({{ email: 'ann@example.com', password: 'correct horse' }})
  console.log(data.user?.id, error)
",
            url = self.url,
            db_url = self.db_url.expose(),
            console = self.console_url.expose(),
            data_dir = self.data_dir.display(),
            anon = self.anon_key,
            service = self.service_role_key.expose(),
        )
    }
}
