// What a service does with memjs, by the binary protocol. Usage: memjs.js <module> <server> [<user> <password>]
const assert = require("assert");

async function main() {
  const [module, server, username, password] = process.argv.slice(2);
  const memjs = require(module);
  const client = memjs.Client.create(server, { retries: 0, timeout: 30, username, password });
  await client.flush();
  assert.strictEqual(await client.set("key", "value", { expires: 100 }), true);
  assert.strictEqual((await client.get("key")).value.toString(), "value");
  assert.strictEqual((await client.get("absent")).value, null);
  const names = Array.from({ length: 100 }, (_, number) => `many-${number}`);
  await Promise.all(names.map((name) => client.set(name, name, {})));
  const found = await Promise.all(names.map((name) => client.get(name)));
  found.forEach((one, at) => assert.strictEqual(one.value.toString(), names[at]));
  const big = "v".repeat(900000);
  assert.strictEqual(await client.set("big", big, {}), true);
  assert.strictEqual((await client.get("big")).value.toString(), big);
  assert.strictEqual(await client.add("key", "other", {}), false);
  assert.strictEqual(await client.replace("key", "other", {}), true);
  assert.strictEqual(await client.replace("absent", "other", {}), false);
  assert.strictEqual(await client.append("key", ">"), true);
  assert.strictEqual(await client.prepend("key", "<"), true);
  // Its prepend sends the opcode of append.
  assert.strictEqual((await client.get("key")).value.toString(), "other><");
  assert.strictEqual((await client.increment("count", 5, { initial: 10 })).value, 10);
  assert.strictEqual((await client.increment("count", 5, {})).value, 15);
  assert.strictEqual((await client.decrement("count", 20, {})).value, 0);
  assert.strictEqual(await client.touch("key", 1000), true);
  assert.strictEqual(await client.delete("key"), true);
  assert.strictEqual(await client.delete("key"), false);
  const stats = await new Promise((resolve, reject) =>
    client.stats((error, _, stats) => (error ? reject(error) : resolve(stats)))
  );
  assert.strictEqual(stats.version, "1.6.45");
  client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
