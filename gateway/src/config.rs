//! What the gateway can be told.

use std::net::IpAddr;
use std::str::FromStr;

use url::Url;

/// The gateway's configuration.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// The domain whose labels are project references: a request for `shop.DOMAIN` is the project `shop`'s.
    #[arg(long, env = "MESHBASE_DOMAIN", default_value = "localhost", value_name = "DOMAIN")]
    pub domain: String,
    /// The address that links in mails start with; without it, the address that a loopback client used. A project that
    /// was called by its host keeps that host.
    #[arg(long, env = "MESHBASE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<Url>,
    /// Proxies in front whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or CIDR blocks.
    #[arg(long, env = "MESHBASE_TRUSTED_PROXIES", value_delimiter = ',', value_name = "CIDR")]
    pub trusted_proxies: Vec<Block>,
}

impl Default for Config {
    fn default() -> Config {
        Config { domain: "localhost".to_owned(), public_url: None, trusted_proxies: Vec::new() }
    }
}

/// A CIDR block, such as `10.0.0.0/8`; a single address is a block of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    address: IpAddr,
    bits: u8,
}

impl Block {
    /// Whether the block holds `address`.
    pub fn holds(&self, address: IpAddr) -> bool {
        let (block, address) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                (u128::from(block.to_bits()) << 96, u128::from(address.to_bits()) << 96)
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => (block.to_bits(), address.to_bits()),
            _ => return false,
        };
        let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
        block & mask == address & mask
    }
}

impl FromStr for Block {
    type Err = String;
    fn from_str(text: &str) -> Result<Block, String> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| format!("{address} is not an IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => {
                bits.parse().ok().filter(|b| *b <= most).ok_or(format!("/{bits} is not 0 to {most}"))?
            }
        };
        Ok(Block { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_their_addresses() {
        let holds =
            |block: &str, address: &str| block.parse::<Block>().unwrap().holds(address.parse().unwrap());

        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("127.0.0.1", "127.0.0.1"));
        assert!(!holds("127.0.0.1", "127.0.0.2"));
        assert!(holds("0.0.0.0/0", "8.8.8.8"));
        assert!(holds("fd00::/8", "fd12::1"));
        assert!(!holds("fd00::/8", "10.0.0.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!("10.0.0.0/33".parse::<Block>().is_err());
        assert!("ten".parse::<Block>().is_err());
    }
}
