"""What the tests do with a page of classic Notebook 6: run cells, ask the kernel, find an output."""

# Runs all cells, or one, and gives the errors they ended with.
RUN = """async index => {
  const notebook = window.Jupyter.notebook;
  const pause = () => new Promise(resolve => setTimeout(resolve, 50));
  while (!notebook.kernel?.is_connected()) await pause();
  if (index === null) notebook.execute_all_cells();
  else notebook.get_cell(index).execute();
  const ran = (index === null ? notebook.get_cells() : [notebook.get_cell(index)])
    .filter(cell => cell.cell_type === 'code');
  do await pause(); while (ran.some(cell => cell.element.hasClass('running')));
  return ran.flatMap(cell => cell.output_area.outputs
    .filter(output => output.output_type === 'error')
    .map(output => output.ename + ': ' + output.evalue));
}"""

# Runs code that is in no cell and gives what it printed.
ASK = """code => new Promise(resolve => {
  let text = '', parts = 0;
  const done = () => { if (++parts === 2) resolve(text); };  // the reply may come before the output
  const output = message => {
    if (message.msg_type === 'stream') text += message.content.text;
    if (message.msg_type === 'error') text += message.content.evalue;
  };
  const status = message => { if (message.content.execution_state === 'idle') done(); };
  window.Jupyter.notebook.kernel.execute(code, {shell: {reply: done}, iopub: {output, status}},
                                         {silent: false, store_history: false});
})"""

# Marks a cell's place on the page, and scrolls to it.
FIND = """index => {
  const notebook = window.Jupyter.notebook;
  notebook.select(index);
  const element = notebook.get_cell(index).element[0];
  element.dataset.tlCell = index;
  element.scrollIntoView();
}"""

# Starts a cell and does not wait for it; `window.tlDone` is there when it has ended.
START = """index => {
  const cell = window.Jupyter.notebook.get_cell(index);
  cell.execute();
  window.tlDone = new Promise(resolve => {
    const look = () => cell.element.hasClass('running') ? setTimeout(look, 50) : resolve();
    look();
  });
}"""

INTERRUPT = "window.Jupyter.notebook.kernel.interrupt()"
SAVE = "window.Jupyter.notebook.save_notebook()"
CELL = "window.Jupyter.notebook.get_selected_index()"
# Whether widgets will show: their manager has asked the kernel for widgets, and both are quiet.
READY = """() => {
  const kernel = window.Jupyter?.notebook?.kernel;
  const isQuiet = kernel?.is_connected() && kernel.comm_manager.targets['jupyter.widget']
    && document.querySelector('.kernel_idle_icon')
    && Object.keys(kernel.comm_manager.comms).length === 0;
  window.tlQuiet = isQuiet ? (window.tlQuiet ?? performance.now()) : undefined;
  return performance.now() - window.tlQuiet > 700;
}"""
OUTPUT = "[data-tl-cell='{}'] .output_wrapper"
