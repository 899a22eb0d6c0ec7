// Names under .localhost are this machine (RFC 6761 §6.3). Browsers know; Node asks the system's resolver, which may not.
import dns from 'node:dns'

const lookup = dns.lookup
dns.lookup = (name, options, done) => lookup(/\.localhost$/.test(name) ? 'localhost' : name, options, done)
