"""The command ``retinanet-odm run``: the programs one after the other, from labelled images to one page.

Begin with `plan`, which lists the steps: each is a command line of a program, which runs in a process of its own.

  command    the command line of `retinanet-odm run`
  overview   the page of a run, from the files of its steps
  plan       which steps a request has, and their commands
  processes  a program as a process, and its end
  record     which steps are complete, and for which inputs
  run        the run: each step that is not complete, then the page

Each program continues an interrupted step by itself. Here is only recorded which steps have ended.
"""
